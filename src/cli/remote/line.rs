//! An operation as a command line: what stands in its path has a place of its own, the rest has names. What was written there, as a
//! request.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::builder::PossibleValuesParser;
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use reqwest::Method;
use serde_json::{Map, Value};

use super::describe::{Kind, Operation, Place, Taken, dashed};
use crate::cli::payload;
use crate::paths::segment;

/// Options of our own; what the API calls like one of them gets `-value` behind it.
const OWN: [&str; 4] = ["json", "output", "body", "help"];

/// What to ask of the server.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Value>,
    /// Whether the answer is for a program.
    pub(super) json: bool,
    /// Where a file goes.
    pub(super) output: Option<PathBuf>,
}

/// The operation that a line is of, and what was written of it.
///
/// # Errors
/// A mistake of the line, which tells what can be written.
pub(super) fn read<'o>(
    operations: &'o [Operation],
    words: &[String],
) -> Result<(&'o Operation, ArgMatches), clap::Error> {
    let mut command = command(operations);
    let mut matches = command.try_get_matches_from_mut(words)?;
    let written = matches.remove_subcommand();
    let found = written.and_then(|(name, matches)| {
        Some((operations.iter().find(|operation| operation.name == name)?, matches))
    });
    found.ok_or_else(|| command.error(ErrorKind::InvalidSubcommand, "there is no such operation"))
}

fn command(operations: &[Operation]) -> Command {
    Command::new("trunkline remote")
        .no_binary_name(true)
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .subcommands(operations.iter().map(subcommand))
}

fn subcommand(operation: &Operation) -> Command {
    let about = format!("{}\n\nTakes a key with the scope {}.", operation.about, operation.scopes);
    let mut command = Command::new(operation.name.clone())
        .about(operation.summary.clone())
        .long_about(format!("{}\n\n{}", operation.summary, about.trim_start()))
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print the answer as JSON"))
        .arg(
            Arg::new("output")
                .long("output")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Where the answer goes, if it is a file"),
        );
    if operation.has_body {
        let help = "The whole body as JSON, @FILE, or - for standard input; options add to it";
        command = command.arg(Arg::new("body").long("body").value_name("JSON").help(help));
    }
    command.args(operation.takes.iter().map(argument))
}

fn argument(taken: &Taken) -> Arg {
    let arg = Arg::new(id(taken)).help(taken.about.clone());
    if taken.place == Place::Path {
        return arg.required(true).value_name(taken.name.to_uppercase());
    }
    let arg = arg.long(option(taken));
    let arg = match &taken.kind {
        Kind::Number => arg.value_name("NUMBER").allow_negative_numbers(true),
        Kind::Json => arg.value_name("JSON"),
        Kind::Word(words) => arg.value_parser(PossibleValuesParser::new(words.clone())),
        Kind::Several(one) => match one.as_ref() {
            Kind::Word(words) => arg.value_parser(PossibleValuesParser::new(words.clone())),
            _ => arg.value_name(taken.name.to_uppercase()),
        }
        .action(ArgAction::Append),
        Kind::Text => arg.value_name(taken.name.to_uppercase()),
        // `--paused` and `--paused=false`: nothing that follows is taken for its value.
        Kind::Flag => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_parser(PossibleValuesParser::new(["true", "false"])),
    };
    match (taken.required, taken.place) {
        (true, Place::Body) => arg.required_unless_present("body"),
        (required, _) => arg.required(required),
    }
}

/// Two things of one operation may have one name, in the query and in the body; and ours are taken.
fn id(taken: &Taken) -> String {
    format!("{:?}:{}", taken.place, taken.name)
}

fn option(taken: &Taken) -> String {
    let name = dashed(&taken.name);
    if OWN.contains(&name.as_str()) { format!("{name}-value") } else { name }
}

/// # Errors
/// When what a file holds, or what was written for a number or for JSON, is none.
pub(super) fn request(operation: &Operation, matches: &ArgMatches) -> Result<Asked> {
    let mut asked = Asked {
        method: operation.method.parse().context("the server describes a method that there is not")?,
        path: operation.path.clone(),
        query: Vec::new(),
        headers: Vec::new(),
        body: None,
        json: matches.get_flag("json"),
        output: matches.get_one::<PathBuf>("output").cloned(),
    };
    let mut body = match operation.has_body.then(|| matches.get_one::<String>("body")).flatten() {
        Some(source) => match payload::read(source)? {
            Value::Object(body) => body,
            _ => bail!("--body takes a JSON object, and options add to it"),
        },
        None => Map::new(),
    };
    for taken in &operation.takes {
        let name = taken.name.clone();
        let Some(values) = matches.get_many::<String>(&id(taken)) else { continue };
        let values: Vec<String> = values.cloned().collect();
        match taken.place {
            Place::Path => {
                let step = values.first().map(|value| segment(value)).unwrap_or_default();
                asked.path = asked.path.replace(&format!("{{{name}}}"), &step);
            }
            Place::Query => asked.query.extend(values.into_iter().map(|value| (name.clone(), value))),
            Place::Header => asked.headers.extend(values.into_iter().map(|value| (name.clone(), value))),
            Place::Body => {
                body.insert(name, as_json(taken, values)?);
            }
        }
    }
    asked.body = operation.has_body.then_some(Value::Object(body));
    Ok(asked)
}

fn as_json(taken: &Taken, values: Vec<String>) -> Result<Value> {
    let one = |kind: &Kind, value: String| match kind {
        Kind::Text | Kind::Word(_) => Ok(Value::String(value)),
        Kind::Number | Kind::Flag => {
            let read = serde_json::from_str(&value).ok().filter(|value: &Value| !value.is_string());
            read.with_context(|| format!("--{} takes a number, and {value:?} is none", option(taken)))
        }
        Kind::Json | Kind::Several(_) => {
            payload::read(&value).with_context(|| format!("--{} cannot be read", option(taken)))
        }
    };
    match &taken.kind {
        Kind::Several(kind) => values.into_iter().map(|value| one(kind, value)).collect(),
        kind => one(kind, values.into_iter().next().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::remote::describe::operations;

    fn spec() -> Value {
        let scope = json!({"name": "scope", "in": "path", "required": true, "schema": {"type": "string"}});
        let seen = json!({"name": "If-Match", "in": "header", "schema": {"type": "string"}});
        let limit = json!({"name": "limit", "in": "query", "required": true, "schema": {"type": "integer", "default": 50}});
        json!({
            "paths": {
                "/limits/{scope}": {"post": {
                    "operationId": "set_limit", "summary": "Set a limit", "security": [{"read_pii": []}],
                    "parameters": [scope, seen],
                    "requestBody": {"content": {"application/json; charset=utf-8": {"schema": {"$ref": "#/components/schemas/ToSet"}}}},
                }},
                "/tasks": {"get": {
                    "operationId": "list_tasks",
                    "parameters": [limit, {"name": "state", "in": "query", "schema": {"$ref": "#/components/schemas/State"}}],
                }},
            },
            "components": {"schemas": {
                "ToSet": {"type": "object", "required": ["rate"], "properties": {
                    "rate": {"type": "string"},
                    "max_running": {"type": "integer", "nullable": true},
                    "paused": {"type": "boolean"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "payload": {},
                    "json": {"type": "string"},
                }},
                "State": {"type": "string", "enum": ["pending", "dead"]},
            }},
        })
    }

    /// What the line asks for, or why it cannot be meant.
    fn asked(words: &[&str]) -> Result<Asked, String> {
        let (operations, words) =
            (operations(&spec()), words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        let (operation, matches) = read(&operations, &words).map_err(|usage| usage.to_string())?;
        request(operation, &matches).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_goes_where_the_description_has_it() {
        let words = [
            "set-limit",
            "kind:a/b c",
            "--if-match",
            "\"x\"",
            "--rate",
            "10/s",
            "--max-running",
            "3",
            "--paused",
            "--tags",
            "a",
            "--tags",
            "b",
            "--payload",
            "{\"event\": 7}",
            "--json-value",
            "x",
            "--json",
        ];
        let asked = asked(&words).unwrap();
        assert_eq!(
            (asked.method, asked.path.as_str(), asked.json),
            (Method::POST, "limits/kind%3Aa%2Fb%20c", true)
        );
        assert_eq!(asked.headers, [("If-Match".to_owned(), "\"x\"".to_owned())]);
        let body = json!({"rate": "10/s", "max_running": 3, "paused": true, "tags": ["a", "b"], "payload": {"event": 7}, "json": "x"});
        assert_eq!(asked.body, Some(body));
    }

    #[test]
    fn a_whole_body_takes_options_beside_it() {
        let asked = asked(&["set-limit", "queue:a", "--body", "{\"rate\": \"1/s\"}", "--max-running", "2"]);
        assert_eq!(asked.unwrap().body, Some(json!({"rate": "1/s", "max_running": 2})));
    }

    #[test]
    fn what_is_yes_or_no_can_be_said_to_be_either() {
        let body =
            |word: &str| asked(&["set-limit", "--rate", "1/s", word, "queue:a"]).unwrap().body.unwrap();
        assert_eq!(body("--paused"), json!({"rate": "1/s", "paused": true}));
        assert_eq!(body("--paused=true"), json!({"rate": "1/s", "paused": true}));
        assert_eq!(body("--paused=false"), json!({"rate": "1/s", "paused": false}));
        let refused = asked(&["set-limit", "--rate", "1/s", "--paused=maybe", "queue:a"]).unwrap_err();
        assert!(refused.contains("true, false"), "{refused}");
    }

    #[test]
    fn what_cannot_be_meant_is_told_before_anything_is_sent() {
        let refused = |words: &[&str]| asked(words).unwrap_err();
        assert!(refused(&["list-tasks", "--state", "asleep"]).contains("pending, dead"));
        assert!(refused(&["set-limit", "queue:a"]).contains("--rate"));
        assert!(refused(&["no-such"]).contains("no-such"));
        assert!(asked(&["list-tasks"]).unwrap().query.is_empty(), "what has a default is not asked for");
        let wrong = refused(&["set-limit", "queue:a", "--rate", "1/s", "--max-running", "many"]);
        assert_eq!(wrong, "--max-running takes a number, and \"many\" is none");
        let wrong = refused(&["set-limit", "queue:a", "--body", "[1]", "--rate", "1/s"]);
        assert_eq!(wrong, "--body takes a JSON object, and options add to it");
    }

    #[test]
    fn a_scope_of_several_is_told_in_words() {
        let all = operations(&spec());
        assert_eq!(all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["list-tasks", "set-limit"]);
        assert_eq!(all[1].scopes, "read and pii");
    }
}
