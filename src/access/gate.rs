//! The door before an HTTP endpoint: what a request carries becomes a [`Caller`].
//!
//! A program sends its key (`Authorization: Bearer tlk_…`). A browser sends the cookie of its session, which other
//! sites can make it send, too: whatever changes something must then come from a page of ours. Browsers say so
//! themselves (`Sec-Fetch-Site`, `Origin`), and a page cannot make them lie.

use chrono::TimeDelta;
use poem::Request;
use poem::http::{HeaderMap, HeaderName, Method, header};

use super::{Access, Caller, Denied};
use crate::source::Sources;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The longest credential that is looked at.
const LONGEST: usize = 256;

/// What a request brought to get in.
#[derive(Debug)]
pub enum Credential<'r> {
    Token(&'r str),
    Session(&'r str),
}

/// The door with what it needs to know of the network before it.
#[derive(Clone)]
pub struct Gate {
    pub access: Access,
    pub sources: Sources,
}

impl Gate {
    /// Who asks, if they may ask anything at all.
    ///
    /// # Errors
    /// When nothing good was presented, or a browser was sent by another site.
    pub async fn caller(&self, request: &Request) -> Result<Caller, Denied> {
        let source = self.sources.of_request(request);
        let refuse = |denied| self.access.refuse(None, denied, source);
        match self.credential(request).map_err(refuse)? {
            Credential::Token(token) => self.access.by_token(token, source).await,
            Credential::Session(secret) => {
                if is_cross_site(request) {
                    return Err(refuse(Denied::CrossSite));
                }
                self.access.by_session(secret, source).await
            }
        }
    }

    fn credential<'r>(&self, request: &'r Request) -> Result<Credential<'r>, Denied> {
        let headers = request.headers();
        let mut sent = headers.get_all(header::AUTHORIZATION).iter();
        if let Some(value) = sent.next() {
            let text = value.to_str().ok().filter(|text| text.len() <= LONGEST);
            let (scheme, token) = text.and_then(|text| text.split_once(' ')).ok_or(Denied::Malformed)?;
            if sent.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") {
                return Err(Denied::Malformed);
            }
            return Ok(Credential::Token(token.trim()));
        }
        self.session_secret(request).map(Credential::Session).ok_or(Denied::Missing)
    }

    /// What the cookie of a session holds.
    pub fn session_secret<'r>(&self, request: &'r Request) -> Option<&'r str> {
        cookie(request.headers(), self.cookie_name(request)).filter(|secret| secret.len() <= LONGEST)
    }

    /// The `Set-Cookie` that opens a session in a browser.
    pub fn session_cookie(&self, request: &Request, secret: &str) -> String {
        self.cookie(request, secret, self.access.settings().session)
    }

    /// The `Set-Cookie` that ends it.
    pub fn no_cookie(&self, request: &Request) -> String {
        self.cookie(request, "", TimeDelta::zero())
    }

    fn cookie(&self, request: &Request, value: &str, length: TimeDelta) -> String {
        let (name, seconds) = (self.cookie_name(request), length.num_seconds());
        let secure = if self.sources.is_proxied(request) { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{secure}")
    }

    /// Behind a proxy that speaks TLS, the name by which browsers keep it to this one host and to TLS.
    fn cookie_name(&self, request: &Request) -> &'static str {
        if self.sources.is_proxied(request) { "__Host-trunkline" } else { "trunkline" }
    }
}

/// Whether a request that changes something comes from anywhere but a page of ours.
pub fn is_cross_site(request: &Request) -> bool {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return false;
    }
    let text = |name: &HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    match (text(&SEC_FETCH_SITE), text(&header::ORIGIN), text(&header::HOST)) {
        (Some(site), _, _) => site != "same-origin",
        (None, Some(origin), Some(host)) => origin.split_once("://").is_none_or(|(_, from)| from != host),
        _ => true,
    }
}

fn cookie<'r>(headers: &'r HeaderMap, name: &str) -> Option<&'r str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, headers: &[(&str, &str)]) -> Request {
        let built = headers
            .iter()
            .fold(Request::builder().method(method), |builder, (name, value)| builder.header(*name, *value));
        built.finish()
    }

    #[test]
    fn only_a_page_of_ours_can_make_a_browser_change_something() {
        let ours = ("host", "ops.example");
        for (headers, cross) in [
            (vec![ours, ("sec-fetch-site", "same-origin")], false),
            (vec![ours, ("sec-fetch-site", "same-site")], true),
            (vec![ours, ("sec-fetch-site", "cross-site"), ("origin", "https://ops.example")], true),
            (vec![ours, ("sec-fetch-site", "none")], true),
            (vec![ours, ("origin", "https://ops.example")], false),
            (vec![ours, ("origin", "https://evil.example")], true),
            (vec![ours, ("origin", "https://ops.example.evil.example")], true),
            (vec![ours, ("origin", "null")], true),
            (vec![ours], true),
        ] {
            assert_eq!(is_cross_site(&request(Method::POST, &headers)), cross, "{headers:?}");
            assert!(!is_cross_site(&request(Method::GET, &headers)));
        }
    }

    #[test]
    fn a_cookie_is_found_among_others() {
        let headers =
            request(Method::GET, &[("cookie", "a=1; trunkline=secret; b=trunkline")]).headers().clone();
        assert_eq!(cookie(&headers, "trunkline"), Some("secret"));
        assert_eq!(cookie(&headers, "unkline"), None);
    }
}
