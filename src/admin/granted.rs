//! What an operation takes: its argument of type `Granted<…>` is the check, the declaration in the description, and
//! the only way to learn who asks. An operation without one is found by a test that walks all of them.

use std::marker::PhantomData;
use std::net::IpAddr;

use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde_json::{Value, json};
use trunkline_platform::audit::{Act, Actor};

use super::problem::Problem;
use crate::access::gate::Gate;
use crate::access::{Access, Caller, Denied, Scope, Scopes};
use crate::mask;

/// Scopes that operations take.
pub(super) trait Need: Send + Sync + 'static {
    /// In the description of the API.
    const NAME: &'static str;
    const SAYS: &'static str;
    const SCOPES: Scopes;
}

macro_rules! needs {
    ($($need:ident = $name:literal $says:literal [$($scope:ident),+];)+) => { $(
        pub(super) struct $need;

        impl Need for $need {
            const NAME: &'static str = $name;
            const SAYS: &'static str = $says;
            const SCOPES: Scopes = Scopes::of(&[$(Scope::$scope),+]);
        }
    )+ };
}

needs! {
    Read = "read" "A key with the scope `read`. What is personal is masked." [Read];
    ReadPersonal = "read_pii" "A key with the scopes `read` and `pii`." [Read, Pii];
    Administer = "admin" "A key with the scope `admin`." [Admin];
}

/// Who asks, as the door found out.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) caller: Caller,
    pub(super) source: IpAddr,
    pub(super) gate: Gate,
}

/// Somebody whose key allows `N`.
pub(super) struct Granted<N> {
    visit: Visit,
    need: PhantomData<N>,
}

impl<N: Need> Granted<N> {
    pub(super) fn caller(&self) -> &Caller {
        &self.visit.caller
    }

    pub(super) fn actor(&self, reason: Option<String>) -> Actor {
        self.visit.caller.actor(reason)
    }

    pub(super) fn access(&self) -> &Access {
        &self.visit.gate.access
    }

    /// How personal things are to be shown. As they are only to a key with `pii`, and not without an entry in the
    /// audit.
    pub(super) async fn view(&self, unmask: bool, subject: &str) -> Result<View, Problem> {
        if unmask {
            let needed = Scopes::of(&[Scope::Pii]);
            self.access().allow(&self.visit.caller, needed, self.visit.source)?;
            let act = Act { action: "unmask", subject: subject.to_owned(), before: None, after: None };
            self.access().record_look(&self.visit.caller, act).await?;
        }
        Ok(View { unmask })
    }
}

/// Shows stored texts with or without people in them.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    unmask: bool,
}

impl View {
    /// A line of ours: an error, a key.
    pub(super) fn line(self, text: &str) -> String {
        if self.unmask { text.to_owned() } else { mask::phones_in(text) }
    }

    /// The same of a field that may be absent.
    pub(super) fn maybe(self, text: Option<&str>) -> Option<String> {
        text.map(|text| self.line(text))
    }

    /// A phone number.
    pub(super) fn number(self, number: &str) -> String {
        if self.unmask { number.to_owned() } else { mask::phone(number) }
    }

    /// What somebody wrote or said.
    pub(super) fn said(self, text: &str) -> String {
        if self.unmask { text.to_owned() } else { mask::text(text) }
    }

    /// A stored JSON document.
    pub(super) fn json(self, text: &str) -> Value {
        if self.unmask {
            serde_json::from_str(text).unwrap_or_else(|_| json!(text))
        } else {
            mask::json(text)
        }
    }
}

impl<'a, N: Need> ApiExtractor<'a> for Granted<N> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        let scheme = MetaSecurityScheme {
            ty: "http",
            description: Some(N::SAYS),
            name: None,
            key_in: None,
            scheme: Some("bearer"),
            bearer_format: Some("tlk_…"),
            flows: None,
            openid_connect_url: None,
        };
        registry.create_security_scheme(N::NAME, scheme);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![N::NAME]
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let visit = request.extensions().get::<Visit>().ok_or(Problem::from(Denied::Missing))?;
        visit.gate.access.allow(&visit.caller, N::SCOPES, visit.source).map_err(Problem::from)?;
        Ok(Self { visit: visit.clone(), need: PhantomData })
    }
}
