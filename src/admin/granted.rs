//! What an operation takes: its argument of type `Granted<…>` is the check, the declaration in the description, and
//! the only way to learn who asks. An operation without one is found by a test that walks all of them.

use std::marker::PhantomData;
use std::net::IpAddr;

use poem::{Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use trunkline_platform::audit::{Act, Actor};

use super::problem::Problem;
use crate::access::gate::Gate;
use crate::access::{Access, Caller, Denied, Scope, Scopes};
pub(super) use crate::mask::View;

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
    Operate = "operate" "A key with the scope `operate`." [Operate];
    Administer = "admin" "A key with the scope `admin`." [Admin];
}

/// Who asks, as the door found out.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) caller: Caller,
    pub(super) source: IpAddr,
    pub(super) gate: Gate,
    /// In what the body is not of the form that the operation takes; told to nobody who may not do it anyway.
    pub(super) misfit: Option<String>,
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

    /// # Errors
    /// When the key has not `pii`.
    pub(super) fn sees_people(&self) -> Result<(), Problem> {
        let needed = Scopes::of(&[Scope::Pii]);
        Ok(self.access().allow(&self.visit.caller, needed, self.visit.source)?)
    }

    /// How personal things are to be shown. As they are only to a key with `pii`, and not without an entry in the
    /// audit.
    pub(super) async fn view(&self, unmask: bool, subject: &str) -> Result<View, Problem> {
        if unmask {
            self.sees_people()?;
            let act = Act { action: "unmask", subject: subject.to_owned(), before: None, after: None };
            self.access().record_look(&self.visit.caller, act).await?;
        }
        Ok(View::of(unmask))
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
        if let Some(misfit) = &visit.misfit {
            return Err(Problem::invalid(misfit.clone()).into());
        }
        Ok(Self { visit: visit.clone(), need: PhantomData })
    }
}
