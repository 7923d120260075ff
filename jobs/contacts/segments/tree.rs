//! A filter as a tree: what it says, how it is written, and whom it takes.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::contacts::people::{Label, Person};

/// A filter over people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Filter {
    /// All of them hold; of none: everybody.
    All(Vec<Filter>),
    /// At least one holds.
    Any(Vec<Filter>),
    Not(Box<Filter>),
    Test(Test),
}

/// One thing that is looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Test {
    Label(Label),
    /// `state:TX`
    State(String),
    /// `zone:America/Chicago`: somebody who may be there.
    Zone(String),
    /// `area:212`
    Area(String),
    /// `name~ann`, `field.plan:gold`
    Text {
        what: What,
        how: How,
        value: String,
    },
    /// `last_reply<30d`
    Age {
        since: Moment,
        than: Than,
        age: Age,
    },
    Has(Thing),
    Is(Standing),
}

/// A text that is compared, whatever its case.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum What {
    /// First and last name with a space between.
    Name,
    First,
    Last,
    Company,
    Email,
    Number,
    Source,
    Field(String),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum How {
    /// `:`
    Equals,
    /// `~`
    Contains,
}

/// A moment whose age is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    LastReply,
    Added,
    Changed,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Than {
    /// `<`: less long ago.
    Younger,
    /// `>`: longer ago.
    Older,
}

/// A length of time as it was written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Age {
    pub count: u16,
    pub unit: Unit,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    Hours,
    Days,
    Weeks,
}

/// What somebody can have or not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Thing {
    Text(What),
    Reply,
    State,
    Zone,
    Tag,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    OptedOut,
    /// A campaign would text them: neither opted out nor flagged.
    Textable,
}

pub(super) const TEXTS: [(&str, What); 7] = [
    ("name", What::Name),
    ("first_name", What::First),
    ("last_name", What::Last),
    ("company", What::Company),
    ("email", What::Email),
    ("number", What::Number),
    ("source", What::Source),
];
pub(super) const MOMENTS: [(&str, Moment); 3] =
    [("last_reply", Moment::LastReply), ("added", Moment::Added), ("changed", Moment::Changed)];
pub(super) const THINGS: [(&str, Thing); 4] =
    [("reply", Thing::Reply), ("state", Thing::State), ("zone", Thing::Zone), ("tag", Thing::Tag)];
pub(super) const STANDINGS: [(&str, Standing); 2] =
    [("opted_out", Standing::OptedOut), ("textable", Standing::Textable)];
pub(super) const UNITS: [(char, Unit); 3] = [('h', Unit::Hours), ('d', Unit::Days), ('w', Unit::Weeks)];

/// Kept as it is written.
impl Serialize for Filter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Filter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Filter {
    /// Whether it tells something of names, addresses or numbers to who tries often enough.
    pub fn is_personal(&self) -> bool {
        match self {
            Self::All(filters) | Self::Any(filters) => filters.iter().any(Self::is_personal),
            Self::Not(filter) => filter.is_personal(),
            Self::Test(Test::Text { what, how, .. }) => match what {
                What::Source => false,
                What::Field(_) => *how == How::Contains,
                _ => true,
            },
            Self::Test(_) => false,
        }
    }

    /// Whether it takes this person.
    pub fn takes(&self, person: &Person, now: DateTime<Utc>) -> bool {
        match self {
            Self::All(filters) => filters.iter().all(|filter| filter.takes(person, now)),
            Self::Any(filters) => filters.iter().any(|filter| filter.takes(person, now)),
            Self::Not(filter) => !filter.takes(person, now),
            Self::Test(test) => test.holds(person, now),
        }
    }

    /// A label that everybody has whom it takes: an index leads to them.
    pub fn label(&self) -> Option<&Label> {
        match self {
            Self::Test(Test::Label(label)) => Some(label),
            Self::All(filters) => filters.iter().find_map(Self::label),
            Self::Any(_) | Self::Not(_) | Self::Test(_) => None,
        }
    }
}

impl Test {
    fn holds(&self, person: &Person, now: DateTime<Utc>) -> bool {
        match self {
            Self::Label(Label::Tag(tag)) => person.tags.contains(tag),
            Self::Label(Label::Flag(flag)) => person.flags.contains(*flag),
            Self::State(state) => person.place().state.as_deref() == Some(state),
            Self::Zone(zone) => {
                let place = person.place();
                place.known && place.zones.iter().any(|there| there.name() == zone)
            }
            Self::Area(code) => person.number.strip_prefix("+1").is_some_and(|rest| rest.starts_with(code)),
            Self::Text { what, how, value } => {
                let (text, value) = (what.of(person).to_lowercase(), value.to_lowercase());
                match how {
                    How::Equals => text == value,
                    How::Contains => text.contains(&value),
                }
            }
            Self::Age { since, than, age } => since.of(person).is_some_and(|at| {
                let border = now - age.length();
                match than {
                    Than::Younger => at > border,
                    Than::Older => at < border,
                }
            }),
            Self::Has(thing) => match thing {
                Thing::Text(what) => !what.of(person).is_empty(),
                Thing::Reply => person.last_reply_at.is_some(),
                Thing::State => person.place().state.is_some(),
                Thing::Zone => person.place().known,
                Thing::Tag => !person.tags.is_empty(),
            },
            Self::Is(Standing::OptedOut) => person.opted_out,
            Self::Is(Standing::Textable) => !person.opted_out && person.kept_out().is_none(),
        }
    }
}

impl What {
    fn of(&self, person: &Person) -> String {
        let own = |text: &Option<String>| text.clone().unwrap_or_default();
        match self {
            Self::Name => {
                let names = [&person.first_name, &person.last_name].into_iter().flatten();
                names.map(String::as_str).collect::<Vec<_>>().join(" ")
            }
            Self::First => own(&person.first_name),
            Self::Last => own(&person.last_name),
            Self::Company => own(&person.company),
            Self::Email => own(&person.email),
            Self::Number => person.number.clone(),
            Self::Source => person.source.clone(),
            Self::Field(name) => person.fields.get(name).cloned().unwrap_or_default(),
        }
    }
}

impl Moment {
    fn of(self, person: &Person) -> Option<DateTime<Utc>> {
        match self {
            Self::LastReply => person.last_reply_at,
            Self::Added => Some(person.created_at),
            Self::Changed => Some(person.updated_at),
        }
    }
}

impl Age {
    fn length(self) -> TimeDelta {
        let count = i64::from(self.count);
        match self.unit {
            Unit::Hours => TimeDelta::hours(count),
            Unit::Days => TimeDelta::days(count),
            Unit::Weeks => TimeDelta::weeks(count),
        }
    }
}

/// The name a value is written by.
fn name_of<T: PartialEq>(names: &'static [(&'static str, T)], value: &T) -> &'static str {
    names.iter().find(|(_, known)| known == value).map_or("", |(name, _)| name)
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, "field.{name}"),
            what => f.write_str(name_of(&TEXTS, what)),
        }
    }
}

impl fmt::Display for Filter {
    /// As it can be read again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, filters: &[Self], between: &str| {
            filters.iter().enumerate().try_for_each(|(at, filter)| {
                if at > 0 {
                    f.write_str(between)?;
                }
                filter.inner(f)
            })
        };
        match self {
            Self::All(filters) => joined(f, filters, " "),
            Self::Any(filters) => joined(f, filters, " or "),
            Self::Not(_) | Self::Test(_) => self.inner(f),
        }
    }
}

impl Filter {
    /// As a part of another.
    fn inner(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(_) | Self::Any(_) => write!(f, "({self})"),
            Self::Not(filter) => {
                f.write_str("-")?;
                filter.inner(f)
            }
            Self::Test(test) => write!(f, "{test}"),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => write!(f, "{}:{}", label.kind(), Quoted(label.word())),
            Self::State(state) => write!(f, "state:{state}"),
            Self::Zone(zone) => write!(f, "zone:{zone}"),
            Self::Area(code) => write!(f, "area:{code}"),
            Self::Text { what, how, value } => {
                let sign = if *how == How::Equals { ':' } else { '~' };
                write!(f, "{what}{sign}{}", Quoted(value))
            }
            Self::Age { since, than, age } => {
                let sign = if *than == Than::Younger { '<' } else { '>' };
                let unit =
                    UNITS.iter().find(|(_, unit)| *unit == age.unit).map_or('d', |(letter, _)| *letter);
                write!(f, "{}{sign}{}{unit}", name_of(&MOMENTS, since), age.count)
            }
            Self::Has(Thing::Text(what)) => write!(f, "has:{what}"),
            Self::Has(thing) => write!(f, "has:{}", name_of(&THINGS, thing)),
            Self::Is(standing) => write!(f, "is:{}", name_of(&STANDINGS, standing)),
        }
    }
}

/// A value, in quotes where it needs them.
struct Quoted<'v>(&'v str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |c: char| c.is_alphanumeric() || "-_./@+".contains(c);
        if !self.0.is_empty() && self.0.chars().all(bare) {
            return f.write_str(self.0);
        }
        write!(f, "\"{}\"", self.0.replace('\\', "\\\\").replace('"', "\\\""))
    }
}
