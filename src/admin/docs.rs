//! The description of the API: as OpenAPI for programs, as one plain page for people. Both tell of the program and
//! nothing of the installation, so they are open. The page asks nothing of any other host, and has no script.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use poem::endpoint::make_sync;
use poem::http::header;
use poem::{Endpoint, Response};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::door::close;

pub(super) const ABOUT: &str = "Send your key as `Authorization: Bearer tlk_…`. What an operation takes is its \
    security scheme. Lists come in pages: give `next` of one as `cursor` of the next. Errors are problem details \
    (RFC 9457) with a `code` for programs and the `request_id` by which the logs tell of the request. Each key may \
    send so many requests a second; `RateLimit-Remaining` tells how many are left.";

const STYLE: &str = ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;\
margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}th{overflow-wrap:normal}code{font-family:ui-monospace,monospace}section{border-top:1px solid #8886;padding:.5rem 0}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}\
.m{text-transform:uppercase;font-weight:700}";

/// Says of whatever may be absent that it may be null: so it is answered, and so it is taken.
pub(super) fn tell_of_nulls(spec: &mut Value) {
    match spec {
        Value::Array(parts) => parts.iter_mut().for_each(tell_of_nulls),
        Value::Object(parts) => {
            let required = parts.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
            if let Some(Value::Object(fields)) = parts.get_mut("properties") {
                let absent =
                    fields.iter_mut().filter(|(name, _)| !required.iter().any(|known| known == *name));
                absent.for_each(|(_, schema)| allow_null(schema));
            }
            parts.values_mut().for_each(tell_of_nulls);
        }
        _ => {}
    }
}

fn allow_null(schema: &mut Value) {
    if schema.get("$ref").is_some() {
        *schema = json!({ "allOf": [schema.take()] });
    }
    if let Value::Object(keywords) = schema {
        keywords.insert("nullable".to_owned(), Value::Bool(true));
    }
}

/// The OpenAPI document.
pub(super) fn description(spec: &Value) -> impl Endpoint<Output = Response> + 'static {
    let spec = spec.to_string();
    make_sync(move |_| {
        let mut response = Response::builder().content_type("application/json").body(spec.clone());
        close(response.headers_mut());
        response
    })
}

/// The same as a page.
pub(super) fn page(spec: &Value) -> impl Endpoint<Output = Response> + 'static {
    let page = render(spec).into_string();
    let policy =
        format!("default-src 'none'; style-src 'sha256-{}'; frame-ancestors 'none'; base-uri 'none'", {
            use base64::Engine as _;
            base64::engine::general_purpose::STANDARD.encode(Sha256::digest(STYLE))
        });
    make_sync(move |_| {
        let mut response = Response::builder()
            .content_type("text/html; charset=utf-8")
            .header(header::CONTENT_SECURITY_POLICY, &policy)
            .body(page.clone());
        close(response.headers_mut());
        response
    })
}

fn render(spec: &Value) -> Markup {
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let operations = spec["paths"].as_object().into_iter().flatten().flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten();
        methods.map(move |(method, operation)| (path, method, operation))
    });
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Trunkline API" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Trunkline API " (text(&spec["info"], "version")) }
                p { (text(&spec["info"], "description")) }
                p { "For programs: " a href="openapi.json" { "openapi.json" } "." }
                @for (path, method, operation) in operations {
                    section id=(text(operation, "operationId")) {
                        h2 { span.m { (method) } " " code { "/api/v1" (path) } }
                        p { (text(operation, "summary")) }
                        @if operation["description"].is_string() { p { (text(operation, "description")) } }
                        p { "Takes " code { (takes(operation)) } "." }
                        (parameters(operation))
                        @if let Some(body) = operation["requestBody"]["content"].as_object() {
                            @for kind in body.values() {
                                p { "Body: " code { (schema_name(&kind["schema"])) } }
                                (fields(spec, &kind["schema"]))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The scopes of the key that an operation takes.
pub(crate) fn takes(operation: &Value) -> String {
    let schemes = operation["security"].as_array().into_iter().flatten();
    let names: Vec<&str> =
        schemes.filter_map(|scheme| scheme.as_object()?.keys().next()).map(String::as_str).collect();
    names.join(", ")
}

fn parameters(operation: &Value) -> Markup {
    let parameters: Vec<&Value> = operation["parameters"].as_array().into_iter().flatten().collect();
    html! {
        @if !parameters.is_empty() {
            table {
                tr { th { "parameter" } th { "in" } th { "" } }
                @for parameter in parameters {
                    tr {
                        td { code { (parameter["name"].as_str().unwrap_or_default()) } }
                        td { (parameter["in"].as_str().unwrap_or_default()) }
                        td { (parameter["description"].as_str().unwrap_or_default()) }
                    }
                }
            }
        }
    }
}

fn fields(spec: &Value, schema: &Value) -> Markup {
    let properties = &spec["components"]["schemas"][schema_name(schema)]["properties"];
    html! {
        table {
            @for (name, property) in properties.as_object().into_iter().flatten() {
                tr {
                    td { code { (name) } }
                    td { (property["type"].as_str().unwrap_or_default()) }
                    td { (property["description"].as_str().unwrap_or_default()) }
                }
            }
        }
    }
}

fn schema_name(schema: &Value) -> &str {
    let reference = schema["$ref"].as_str().unwrap_or_default();
    reference.rsplit('/').next().unwrap_or_default()
}
