//! A description by OpenAPI 3.0, as far as ours goes: operations, what they take, and how it is written.

use serde_json::Value;

use crate::admin::docs;

/// What the API does.
#[derive(Debug)]
pub(super) struct Operation {
    /// As it is written on a command line: `list-tasks`.
    pub(super) name: String,
    pub(super) method: String,
    /// Under `/api/v1/`, with `{name}` where a parameter goes.
    pub(super) path: String,
    pub(super) summary: String,
    pub(super) about: String,
    /// Of the key that it takes.
    pub(super) scopes: String,
    pub(super) takes: Vec<Taken>,
    pub(super) has_body: bool,
}

/// One thing that an operation takes.
#[derive(Debug)]
pub(super) struct Taken {
    /// As the API calls it.
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) kind: Kind,
    pub(super) required: bool,
    pub(super) about: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Path,
    Query,
    Header,
    Body,
}

/// How it is written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Text,
    /// One of these.
    Word(Vec<String>),
    Number,
    /// Yes or no.
    Flag,
    /// As often as it is said.
    Several(Box<Kind>),
    /// What has parts of its own.
    Json,
}

/// Every operation, by name.
pub(super) fn operations(spec: &Value) -> Vec<Operation> {
    let mut found = Vec::new();
    for (path, methods) in spec["paths"].as_object().into_iter().flatten() {
        for (method, told) in methods.as_object().into_iter().flatten() {
            if let Some(id) = told["operationId"].as_str() {
                found.push(operation(spec, id, path, method, told));
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn operation(spec: &Value, id: &str, path: &str, method: &str, told: &Value) -> Operation {
    let mut takes: Vec<Taken> =
        told["parameters"].as_array().into_iter().flatten().filter_map(|one| parameter(spec, one)).collect();
    let body = told["requestBody"]["content"].as_object().and_then(|content| content.values().next());
    if let Some(body) = body {
        takes.extend(fields(spec, &body["schema"]));
    }
    Operation {
        name: dashed(id),
        method: method.to_uppercase(),
        path: path.trim_start_matches('/').to_owned(),
        summary: text(told, "summary"),
        about: text(told, "description"),
        scopes: docs::takes(told).replace('_', " and "),
        takes,
        has_body: body.is_some(),
    }
}

fn parameter(spec: &Value, told: &Value) -> Option<Taken> {
    let place = match told["in"].as_str()? {
        "path" => Place::Path,
        "query" => Place::Query,
        "header" => Place::Header,
        _ => return None,
    };
    let schema = resolved(spec, &told["schema"]);
    Some(Taken {
        name: told["name"].as_str()?.to_owned(),
        place,
        kind: kind(spec, schema),
        // What has a value of its own is asked of nobody.
        required: told["required"] == true && schema["default"].is_null(),
        about: text(told, "description"),
    })
}

fn fields(spec: &Value, schema: &Value) -> Vec<Taken> {
    let schema = resolved(spec, schema);
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    let taken = properties.map(|(name, told)| {
        let schema = resolved(spec, told);
        Taken {
            name: name.clone(),
            place: Place::Body,
            kind: kind(spec, schema),
            required: required.contains(&name.as_str()) && schema["default"].is_null(),
            about: match text(told, "description") {
                about if about.is_empty() => text(schema, "description"),
                about => about,
            },
        }
    });
    taken.collect()
}

/// Of a schema that is [resolved].
fn kind(spec: &Value, schema: &Value) -> Kind {
    if let Some(words) = schema["enum"].as_array() {
        return Kind::Word(words.iter().filter_map(Value::as_str).map(str::to_owned).collect());
    }
    match schema["type"].as_str() {
        Some("string") => Kind::Text,
        Some("integer" | "number") => Kind::Number,
        Some("boolean") => Kind::Flag,
        Some("array") => match kind(spec, resolved(spec, &schema["items"])) {
            Kind::Json | Kind::Several(_) | Kind::Flag => Kind::Json,
            simple => Kind::Several(Box::new(simple)),
        },
        _ => Kind::Json,
    }
}

/// The schema that a reference leads to, also from within an `allOf` that only adds that it may be null.
fn resolved<'s>(spec: &'s Value, schema: &'s Value) -> &'s Value {
    let named = schema["$ref"].as_str().or_else(|| schema["allOf"][0]["$ref"].as_str());
    let pointer = named.and_then(|named| named.strip_prefix('#'));
    pointer.and_then(|pointer| spec.pointer(pointer)).unwrap_or(schema)
}

pub(super) fn dashed(name: &str) -> String {
    name.replace('_', "-").to_lowercase()
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}
