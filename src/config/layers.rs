//! The layers of a configuration: the places settings come from, and which of them has the last word.
//!
//! The keys are those of `default.toml`. What type the text of a variable or a flag stands for is told by the
//! default's own type, so there is no second list of settings to keep up to date.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use super::environment::Environment;
use super::error::Problem;
use super::flags::Flags;
use super::source::Source;

const DEFAULTS: &str = include_str!("default.toml");
/// The one section whose keys are free: the queues.
pub(super) const QUEUES: &str = "workers.queues";

/// A key with its value, and where the value comes from.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) source: Source,
}

/// All settings of all layers.
pub(super) struct Layers {
    defaults: BTreeMap<String, Value>,
    /// What the layers above the defaults say, the lowest first.
    pub(super) given: Vec<Setting>,
}

impl Layers {
    /// Reads every layer, noting what cannot be read.
    pub(super) fn gather(flags: &Flags, environment: &Environment, problems: &mut Vec<Problem>) -> Self {
        let mut layers = Self { defaults: defaults(problems), given: Vec::new() };
        if let Some((path, named_by)) = environment.config_file(flags) {
            layers.read_file(&path, named_by, problems);
        }
        layers.given.extend(environment.settings(&layers, problems));
        for assignment in &flags.set {
            let (key, source) = (assignment.key.clone(), Source::Flag);
            let value = layers.read_text(&key, &assignment.value);
            layers.given.push(Setting { key, value, source });
        }
        layers
    }

    fn read_file(&mut self, path: &Path, named_by: String, problems: &mut Vec<Problem>) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                problems.push(Problem::Unreadable { named_by, path: path.to_owned(), kind: error.kind() });
                return;
            }
        };
        match text.parse::<Table>() {
            Ok(table) => flatten(table, "", &mut |key, value| {
                self.given.push(Setting { key, value, source: Source::File(path.to_owned()) });
            }),
            Err(error) => problems.push(syntax(path, &text, &error)),
        }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.defaults.keys().map(String::as_str)
    }

    pub(super) fn knows(&self, key: &str) -> bool {
        self.defaults.contains_key(key) || key.rsplit_once('.').is_some_and(|(section, _)| section == QUEUES)
    }

    pub(super) fn default_of(&self, key: &str) -> Option<&Value> {
        self.defaults.get(key)
    }

    /// Text as the type its setting has. What does not fit stays text, for the setting itself to refuse.
    pub(super) fn read_text(&self, key: &str, text: &str) -> Value {
        let as_text = || Value::String(text.to_owned());
        match self.defaults.get(key) {
            Some(Value::Boolean(_)) => text.parse().map_or_else(|_| as_text(), Value::Boolean),
            Some(Value::Array(_)) => {
                let items = text.split([',', '\n']).map(str::trim).filter(|item| !item.is_empty());
                Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
            }
            Some(Value::String(_)) => as_text(),
            // Every setting that is free to have no default is a number.
            Some(_) | None => text.parse().map_or_else(|_| as_text(), Value::Integer),
        }
    }

    /// The defaults with one setting on top.
    pub(super) fn with_only(&self, setting: &Setting) -> Table {
        let mut table = self.default_table();
        insert(&mut table, &setting.key, setting.value.clone());
        table
    }

    /// For every key the setting that has the last word.
    pub(super) fn merged(&self) -> BTreeMap<String, Setting> {
        let defaults = self.defaults.iter().map(|(key, value)| {
            let setting = Setting { key: key.clone(), value: value.clone(), source: Source::Default };
            (key.clone(), setting)
        });
        let mut merged: BTreeMap<_, _> = defaults.collect();
        merged.extend(self.given.iter().map(|setting| (setting.key.clone(), setting.clone())));
        merged
    }

    fn default_table(&self) -> Table {
        let mut table = Table::new();
        self.defaults.iter().for_each(|(key, value)| insert(&mut table, key, value.clone()));
        table
    }
}

/// Settings as the table they would be in a file.
pub(super) fn table_of(settings: &BTreeMap<String, Setting>) -> Table {
    let mut table = Table::new();
    settings.values().for_each(|setting| insert(&mut table, &setting.key, setting.value.clone()));
    table
}

fn defaults(problems: &mut Vec<Problem>) -> BTreeMap<String, Value> {
    let mut defaults = BTreeMap::new();
    match DEFAULTS.parse::<Table>() {
        Ok(table) => flatten(table, "", &mut |key, value| drop(defaults.insert(key, value))),
        Err(error) => problems.push(syntax(Path::new("default.toml"), DEFAULTS, &error)),
    }
    defaults
}

/// Hands every value with its dotted key to `take`. Empty sections say nothing.
fn flatten(table: Table, section: &str, take: &mut impl FnMut(String, Value)) {
    for (name, value) in table {
        let key = if section.is_empty() { name } else { format!("{section}.{name}") };
        match value {
            Value::Table(table) => flatten(table, &key, take),
            value => take(key, value),
        }
    }
}

fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(table.insert(key.to_owned(), value)),
        Some((section, rest)) => {
            let entry = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(section) = entry {
                insert(section, rest, value);
            }
        }
    }
}

/// A syntax error by its line. The line itself is not shown: it may hold a secret.
fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Problem {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    Problem::Syntax { path: path.to_owned(), line, message: error.message().to_owned() }
}
