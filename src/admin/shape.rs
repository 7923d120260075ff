//! What the description says of each path, asked before the operation is: which methods it takes, which parameters its query
//! has, and what its body is. A misspelt filter that is left aside would show everything, or act on it; and whoever sends `false`
//! for a name did not mean somebody of that name.

use std::collections::{BTreeMap, BTreeSet};

use poem::Request;
use poem::http::Method;
use serde_json::Value;
use trunkline_platform::job::faults_in;
use url::form_urlencoded;

use super::problem::Problem;
use crate::mask;

/// The paths of the API.
pub(super) struct Shape {
    spec: Value,
    paths: Vec<Known>,
}

struct Known {
    /// `None` stands for a parameter.
    segments: Vec<Option<String>>,
    methods: BTreeMap<String, Takes>,
}

/// What an operation takes.
struct Takes {
    /// Of the query.
    parameters: BTreeSet<String>,
    /// The schema of a body in JSON.
    body: Option<Value>,
}

impl Shape {
    pub(super) fn of(spec: &Value) -> Self {
        let paths = spec["paths"].as_object().into_iter().flatten();
        Self { spec: spec.clone(), paths: paths.map(|(path, of)| Known::of(path, of)).collect() }
    }

    /// # Errors
    /// When the path is known, but not with this method or these parameters.
    pub(super) fn check(&self, request: &Request) -> Result<(), Problem> {
        let Some(known) = self.find(request.uri().path()) else { return Ok(()) };
        let Some(Takes { parameters, .. }) = known.takes(request.method()) else {
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

    /// In what a body is not of the form that the operation takes. What is no JSON the operation tells.
    pub(super) fn misfit(&self, request: &Request, body: &[u8]) -> Option<String> {
        if !request.content_type().is_some_and(|kind| kind.starts_with("application/json")) {
            return None;
        }
        let takes = self.find(request.uri().path())?.takes(request.method())?;
        let faults = faults_in(&self.spec, takes.body.as_ref()?, &serde_json::from_slice(body).ok()?);
        if faults.is_empty() {
            return None;
        }
        let told: Vec<String> = faults.iter().map(|fault| fault.told_of("the body")).collect();
        Some(mask::phones_in(&told.join("; ")))
    }

    /// A path with a word of its own before one with a parameter in its place.
    fn find(&self, path: &str) -> Option<&Known> {
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        self.paths.iter().filter(|known| known.is(&segments)).min_by_key(|known| known.parameters())
    }
}

impl Known {
    fn of(path: &str, methods: &Value) -> Self {
        let segment = |text: &str| (!text.starts_with('{')).then(|| text.to_owned());
        let methods = methods.as_object().into_iter().flatten();
        Self {
            segments: path.trim_start_matches('/').split('/').map(segment).collect(),
            methods: methods.map(|(method, of)| (method.to_uppercase(), Takes::of(of))).collect(),
        }
    }

    fn takes(&self, method: &Method) -> Option<&Takes> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.methods.get(method.as_str())
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

impl Takes {
    fn of(operation: &Value) -> Self {
        let query =
            operation["parameters"].as_array().into_iter().flatten().filter(|one| one["in"] == "query");
        let bodies = operation["requestBody"]["content"].as_object();
        let json = bodies.into_iter().flatten().find(|(kind, _)| kind.starts_with("application/json"));
        Self {
            parameters: query.filter_map(|one| Some(one["name"].as_str()?.to_owned())).collect(),
            body: json.map(|(_, body)| body["schema"].clone()),
        }
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

    #[test]
    fn a_body_is_what_the_description_says() {
        let name = json!({"type": "string", "maxLength": 5});
        let shape = Shape::of(&json!({
            "paths": {"/segments": {"post": {"requestBody": {"content": {"application/json; charset=utf-8": {
                "schema": {"$ref": "#/components/schemas/ToSave"}}}}}}},
            "components": {"schemas": {
                "ToSave": {"type": "object", "required": ["name"], "properties": {"name": name, "of": {
                    "nullable": true, "allOf": [{"$ref": "#/components/schemas/Of"}]}}},
                "Of": {"type": "object", "properties": {"ids": {"type": "array", "items": {"type": "integer"}}}}}},
        }));
        let check = |body: &str| {
            let request = Request::builder().method(Method::POST).uri("/segments".parse().unwrap());
            shape.misfit(&request.content_type("application/json; charset=utf-8").finish(), body.as_bytes())
        };
        for good in [
            r#"{"name": "a"}"#,
            r#"{"name": "a", "of": null}"#,
            r#"{"name": "a", "of": {"ids": [1]}}"#,
            "{",
            "",
        ] {
            assert_eq!(check(good), None, "{good}");
        }
        for (bad, told) in [
            ("[]", "the body: expected an object with name"),
            (r#"{"name": false}"#, "/name: expected a text"),
            (r#"{"name": "+12125550101"}"#, "/name: expected at most 5 characters"),
            (r#"{"name": "a", "of": {"ids": ["1"]}}"#, "/of/ids/0: expected a whole number"),
        ] {
            assert_eq!(check(bad).as_deref(), Some(told), "{bad}");
        }
    }
}
