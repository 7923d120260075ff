//! What the description says of each path, asked before the operation is: which methods it takes, and which parameters
//! its query has. A misspelt filter that is left aside would show everything, or act on it.

use std::collections::{BTreeMap, BTreeSet};

use poem::Request;
use poem::http::Method;
use serde_json::Value;
use url::form_urlencoded;

use super::problem::Problem;
use crate::mask;

/// The paths of the API.
pub(super) struct Shape(Vec<Known>);

struct Known {
    /// `None` stands for a parameter.
    segments: Vec<Option<String>>,
    /// Each method with the parameters of its query.
    methods: BTreeMap<String, BTreeSet<String>>,
}

impl Shape {
    pub(super) fn of(spec: &Value) -> Self {
        Self(spec["paths"].as_object().into_iter().flatten().map(|(path, of)| Known::of(path, of)).collect())
    }

    /// # Errors
    /// When the path is known, but not with this method or these parameters.
    pub(super) fn check(&self, request: &Request) -> Result<(), Problem> {
        let Some(known) = self.find(request.uri().path()) else { return Ok(()) };
        let method = match request.method() {
            &Method::HEAD => Method::GET.as_str(),
            method => method.as_str(),
        };
        let Some(parameters) = known.methods.get(method) else {
            return Err(Problem::method_not_allowed(known.allowed()));
        };
        let query = request.uri().query().unwrap_or_default();
        let mut names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
        match names.find(|name| !parameters.contains(name.as_ref())) {
            None => Ok(()),
            Some(name) => {
                let there = match parameters.is_empty() {
                    true => "there are none".to_owned(),
                    false => {
                        let all: Vec<&str> = parameters.iter().map(String::as_str).collect();
                        format!("there are {}", all.join(", "))
                    }
                };
                let name = mask::phones_in(&name);
                Err(Problem::invalid(format!("the query has no parameter {name:?} here; {there}")))
            }
        }
    }

    /// A path with a word of its own before one with a parameter in its place.
    fn find(&self, path: &str) -> Option<&Known> {
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        self.0.iter().filter(|known| known.is(&segments)).min_by_key(|known| known.parameters())
    }
}

impl Known {
    fn of(path: &str, methods: &Value) -> Self {
        let segment = |text: &str| (!text.starts_with('{')).then(|| text.to_owned());
        let parameters = |operation: &Value| {
            let all = operation["parameters"].as_array().into_iter().flatten();
            all.filter(|one| one["in"] == "query")
                .filter_map(|one| Some(one["name"].as_str()?.to_owned()))
                .collect()
        };
        let methods = methods.as_object().into_iter().flatten();
        Self {
            segments: path.trim_start_matches('/').split('/').map(segment).collect(),
            methods: methods.map(|(method, of)| (method.to_uppercase(), parameters(of))).collect(),
        }
    }

    fn is(&self, segments: &[&str]) -> bool {
        let same =
            |(known, given): (&Option<String>, &&str)| known.as_deref().is_none_or(|word| word == *given);
        self.segments.len() == segments.len() && self.segments.iter().zip(segments).all(same)
    }

    fn parameters(&self) -> usize {
        self.segments.iter().filter(|segment| segment.is_none()).count()
    }

    fn allowed(&self) -> String {
        let mut methods: Vec<&str> = self.methods.keys().map(String::as_str).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_path_with_more_words_of_its_own_is_meant() {
        let shape = Shape::of(&json!({"paths": {
            "/keys/{id}": {"get": {"parameters": [{"in": "path", "name": "id"}]}},
            "/keys/mine": {"post": {"parameters": [{"in": "query", "name": "limit"}]}},
        }}));
        let check = |method: Method, uri: &str| {
            shape.check(&Request::builder().method(method).uri(uri.parse().unwrap()).finish())
        };
        assert!(check(Method::HEAD, "/keys/17").is_ok());
        assert!(check(Method::POST, "/keys/mine?limit=1").is_ok());
        assert!(check(Method::DELETE, "/elsewhere?x=1").is_ok(), "what is not there is told by others");
        assert!(check(Method::GET, "/keys/mine").is_err());
        let told = check(Method::POST, "/keys/mine?limt=1&to=+12125550101").unwrap_err().to_string();
        assert_eq!(told, "the query has no parameter \"limt\" here; there are limit");
        let told = check(Method::GET, "/keys/17?limit=1").unwrap_err().to_string();
        assert!(told.ends_with("there are none"), "{told}");
    }
}
