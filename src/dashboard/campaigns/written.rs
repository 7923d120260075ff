//! The form of a campaign's plan, as somebody fills it in: drawn with what was typed, and read. What a plan must be is the
//! library's to say; here only words are turned into what they mean.

use maud::{Markup, html};
use trunkline_jobs::campaigns::experiment::{Metric, WinnerRule};
use trunkline_jobs::campaigns::{DAILY_CAP, Hours, Missing, Plan, Variant};
use trunkline_jobs::provider::Told;

use crate::dashboard::form::Fields;

/// Texts there is place for. The library refuses more.
const PLACES: [&str; 5] = ["A", "B", "C", "D", "E"];

const MISSING: [(&str, &str, Missing); 3] = [
    ("skip", "the person gets no text", Missing::Skip),
    ("blank", "the text goes without it", Missing::Blank),
    ("hold", "the campaign is held until somebody has looked", Missing::Hold),
];

const WINS: [(&str, &str, Metric); 2] = [
    ("replies", "the text that more people answer", Metric::Replies),
    ("opt_outs", "the text at which fewer people ask to stop", Metric::OptOuts),
];

/// How much of a plan is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Extent {
    New,
    /// Of a draft.
    Draft,
    /// Once it is scheduled or has begun, only what limits it.
    Limits,
}

/// A plan as the fields of the form. To whom it goes stays as it is until somebody says otherwise.
pub(super) fn fields(plan: &Plan) -> Fields {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut put = |name: &str, value: String| fields.push((name.to_owned(), value));
    put("whom", "same".to_owned());
    for (text, place) in plan.variants.iter().zip(1..) {
        put(&format!("name{place}"), text.name.clone());
        put(&format!("weight{place}"), text.weight.to_string());
        put(&format!("words{place}"), text.template.clone());
    }
    plan.senders.iter().for_each(|line| put("sender", line.clone()));
    put("hours", plan.hours.to_string());
    put("rate", plan.rate.clone().unwrap_or_default());
    put("daily_cap", plan.daily_cap.to_string());
    put("budget", plan.budget_segments.map(|segments| segments.to_string()).unwrap_or_default());
    put("duplicate_days", plan.duplicate_days.to_string());
    put("counts_for", plan.counts_for_hours.to_string());
    put("holdout", plan.holdout_percent.to_string());
    let missing = MISSING.iter().find(|(.., missing)| *missing == plan.missing);
    put("missing", missing.map(|(word, ..)| (*word).to_owned()).unwrap_or_default());
    if let Some(rule) = plan.winner {
        let metric = WINS.iter().find(|(.., metric)| *metric == rule.metric);
        put("winner", metric.map(|(word, ..)| (*word).to_owned()).unwrap_or_default());
        put("alpha", rule.alpha_percent.to_string());
        put("minimum", rule.minimum.to_string());
    }
    for (name, on) in [
        ("late_joiners", plan.late_joiners),
        ("skip_holidays", plan.skip_holidays),
        ("dry_run", plan.dry_run),
    ] {
        if on {
            put(name, "yes".to_owned());
        }
    }
    Fields::filled(fields)
}

/// What the form says of a plan, but for whom it goes to. Err: what cannot be meant.
pub(super) fn read(fields: &Fields, before: Plan, extent: Extent) -> Result<Plan, String> {
    let hours = fields.get("hours").map_or(Ok(before.hours.clone()), str::parse::<Hours>);
    let limited = Plan {
        hours: hours.map_err(|error| format!("{error}."))?,
        skip_holidays: fields.has("skip_holidays"),
        rate: fields.owned("rate"),
        daily_cap: number(fields, "daily_cap", "The daily cap", DAILY_CAP)?,
        budget_segments: fields.get("budget").map(|text| whole(text, "The budget")).transpose()?,
        ..before
    };
    if extent == Extent::Limits {
        return Ok(limited);
    }
    let missing = MISSING.iter().find(|(word, ..)| fields.get("missing") == Some(*word));
    Ok(Plan {
        variants: texts(fields)?,
        senders: senders(fields),
        late_joiners: fields.has("late_joiners"),
        holdout_percent: number(fields, "holdout", "The part held out", 0)?,
        missing: missing.map(|(.., missing)| *missing).unwrap_or_default(),
        duplicate_days: number(fields, "duplicate_days", "The days without a second text", 1)?,
        counts_for_hours: number(fields, "counts_for", "How long answers count", limited.counts_for_hours)?,
        winner: winner(fields)?,
        dry_run: fields.has("dry_run"),
        ..limited
    })
}

/// Those that were picked, and those that were written.
fn senders(fields: &Fields) -> Vec<String> {
    let written = fields.get("senders").unwrap_or_default();
    let written = written.split([' ', ',', '\n', '\r', '\t']).filter(|id| !id.is_empty());
    let mut all: Vec<String> = Vec::new();
    for id in fields.all("sender").chain(written) {
        if !all.iter().any(|known| known == id) {
            all.push(id.to_owned());
        }
    }
    all
}

fn texts(fields: &Fields) -> Result<Vec<Variant>, String> {
    let mut texts = Vec::new();
    for (letter, place) in PLACES.into_iter().zip(1..) {
        let Some(words) = fields.get(&format!("words{place}")) else { continue };
        let name = fields.get(&format!("name{place}")).unwrap_or(letter);
        let weight = number(fields, &format!("weight{place}"), &format!("The weight of text {name}"), 1)?;
        // Browsers end lines as mail does, and every character is paid for.
        let words = words.replace("\r\n", "\n");
        texts.push(Variant { weight, ..Variant::new(name, words) });
    }
    Ok(texts)
}

fn winner(fields: &Fields) -> Result<Option<WinnerRule>, String> {
    let Some((.., metric)) = WINS.iter().find(|(word, ..)| fields.get("winner") == Some(*word)) else {
        return Ok(None);
    };
    let usual = WinnerRule::default();
    Ok(Some(WinnerRule {
        metric: *metric,
        alpha_percent: number(fields, "alpha", "The chance of a wrong winner", usual.alpha_percent)?,
        minimum: number(fields, "minimum", "The texts before one can win", usual.minimum)?,
    }))
}

fn number(fields: &Fields, name: &str, says: &str, usual: u32) -> Result<u32, String> {
    fields.get(name).map_or(Ok(usual), |text| whole(text, says))
}

fn whole(text: &str, says: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{says} is a whole number, and {text:?} is none."))
}

/// The parts of the form. `whom` is what stands of the audience before somebody says otherwise; `lines` are our numbers, as far as
/// they are known.
pub(super) fn form(
    fields: &Fields,
    extent: Extent,
    whom: &Markup,
    segments: &[String],
    lines: Option<&Told>,
) -> Markup {
    html! {
        @if extent != Extent::Limits {
            (audience(fields, extent, whom, segments))
            (words(fields))
            (from(fields, lines))
        }
        fieldset {
            legend { "When, and how fast" }
            (line(fields, "hours", "Hours, by each person's own clock", "09:00-20:00, or mon-fri 09:00-20:00, sat 10:00-18:00"))
            (option(fields, "skip_holidays", "Nothing on holidays"))
            (line(fields, "rate", "Rate; empty: as fast as the provider takes them", "5/m, 600/h"))
            (line(fields, "daily_cap", "Texts of each of our numbers in any 24 hours", ""))
            (line(fields, "budget", "Segments it may use up; empty: no end", ""))
        }
        @if extent != Extent::Limits { (rest(fields)) }
    }
}

fn audience(fields: &Fields, extent: Extent, whom: &Markup, segments: &[String]) -> Markup {
    let choice = |value: &str, says: &Markup| {
        html! {
            label.option {
                input type="radio" name="whom" value=(value) required checked[fields.get("whom") == Some(value)]; " " (says)
            }
        }
    };
    html! {
        fieldset {
            legend { "To whom" }
            @if extent == Extent::Draft { (choice("same", &html! { "As it is: " (whom) })) }
            (choice("everyone", &html! { "Everybody on record" }))
            (choice("tag", &html! { "Those with a tag" }))
            (line(fields, "tag", "The tag", "vip"))
            @if !segments.is_empty() {
                (choice("segment", &html! { "Those in a segment" }))
                label for="segment" { "The segment" }
                select #segment name="segment" {
                    @for name in segments { option value=(name) selected[fields.get("segment") == Some(name)] { (name) } }
                }
            }
            (choice("filter", &html! { "Those whom a filter takes" }))
            (line(fields, "filter", "The filter", "tag:vip state:TX -flag:test last_reply<30d"))
            @if extent == Extent::New {
                (choice("numbers", &html! { "These numbers" }))
                label for="numbers" { "The numbers, one a line" }
                textarea #numbers name="numbers" rows="3" spellcheck="false" { (fields.get("numbers").unwrap_or_default()) }
            }
            (option(fields, "late_joiners", "Whoever comes to be one of them while it runs joins"))
        }
    }
}

fn words(fields: &Fields) -> Markup {
    html! {
        fieldset {
            legend { "What it says" }
            p.note {
                "Variables are written " code { "{{first_name|there}}" } ", with what stands there when the record has none behind the bar. "
                "Each text must say how to stop. Several are tried against each other, by their weights."
            }
            @for (letter, place) in PLACES.into_iter().zip(1..) {
                @let (name, weight, words) = (format!("name{place}"), format!("weight{place}"), format!("words{place}"));
                @let written = fields.get(&words);
                @let inside = html! {
                    label for=(words) { "Words" }
                    textarea id=(words) name=(words) rows="3" maxlength="1600" placeholder="Hi {{first_name|there}}, … Reply STOP to opt out" {
                        (written.unwrap_or_default())
                    }
                    @if let Some(written) = written { p.note { (super::show::cut(&written.replace("\r\n", "\n"))) } }
                    div.pair {
                        div { label for=(name) { "Name" } input id=(name) name=(name) value=[fields.get(&name)] placeholder=(letter) maxlength="32" autocomplete="off"; }
                        div { label for=(weight) { "Weight" } input id=(weight) name=(weight) value=[fields.get(&weight)] placeholder="1" inputmode="numeric" maxlength="4" autocomplete="off"; }
                    }
                };
                @if place == 1 { (inside) } @else {
                    details open[written.is_some()] { summary { "Text " (letter) } (inside) }
                }
            }
            (choice(fields, "missing", "Where a record lacks a variable", &MISSING.map(|(word, says, _)| (word, says))))
        }
    }
}

/// Our numbers. One that is not among those the provider tells stays written.
fn from(fields: &Fields, lines: Option<&Told>) -> Markup {
    let (chosen, known) = (senders(fields), lines.and_then(|told| told.as_deref().ok()).unwrap_or_default());
    let others: Vec<&str> =
        chosen.iter().map(String::as_str).filter(|id| !known.iter().any(|line| line.id == *id)).collect();
    html! {
        fieldset {
            legend { "From which of our numbers" }
            @if let Some(Err(why)) = lines { p.note { "The provider does not tell which there are: " (why) "." } }
            @for line in known {
                label.option {
                    input type="checkbox" name="sender" value=(line.id) checked[chosen.contains(&line.id)];
                    " " @if let Some(name) = &line.name { (name) " " } code { (line.number) }
                }
            }
            label for="senders" { (if known.is_empty() { "By the provider’s ids" } else { "Others, by the provider’s ids" }) }
            input #senders name="senders" value=(others.join(" ")) placeholder="PNabc123 PNdef456" maxlength="4000" autocomplete="off";
        }
    }
}

fn rest(fields: &Fields) -> Markup {
    let [replies, opt_outs] = WINS.map(|(word, says, _)| (word, says));
    let wins = [("", "no text by itself"), replies, opt_outs];
    html! {
        details open[["winner", "dry_run"].iter().any(|name| fields.has(name))] {
            summary { "Comparing, counting, trying" }
            (line(fields, "holdout", "Percent of the people who get nothing, to compare with", "0"))
            (choice(fields, "winner", "Promoted as soon as that is certain", &wins))
            (line(fields, "alpha", "With a chance of error of so many percent", "5"))
            (line(fields, "minimum", "After so many texts of each", "100"))
            (line(fields, "duplicate_days", "Nobody gets two campaigns' texts within so many days", "1"))
            (line(fields, "counts_for", "Answers count for so many hours", "72"))
            (option(fields, "dry_run", "Decide everything and send nothing"))
        }
    }
}

fn line(fields: &Fields, name: &str, says: &str, example: &str) -> Markup {
    html! {
        label for=(name) { (says) }
        input id=(name) name=(name) value=[fields.get(name)] placeholder=(example) maxlength="4000" autocomplete="off";
    }
}

fn option(fields: &Fields, name: &str, says: &str) -> Markup {
    html! { label.option { input type="checkbox" name=(name) value="yes" checked[fields.has(name)]; " " (says) } }
}

fn choice(fields: &Fields, name: &str, says: &str, choices: &[(&str, &str)]) -> Markup {
    html! {
        label for=(name) { (says) }
        select id=(name) name=(name) {
            @for (word, means) in choices {
                option value=(word) selected[fields.get(name).unwrap_or_default() == *word] { (means) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use trunkline_jobs::campaigns::Audience;

    use super::*;

    fn plan() -> Plan {
        Plan {
            variants: vec![
                Variant::new("A", "Hi\nSTOP"),
                Variant { weight: 3, ..Variant::new("long", "Hello STOP") },
            ],
            senders: vec!["PN1".to_owned(), "PN2".to_owned()],
            rate: Some("5/m".to_owned()),
            budget_segments: Some(90),
            holdout_percent: 10,
            missing: Missing::Hold,
            winner: Some(WinnerRule { metric: Metric::OptOuts, alpha_percent: 2, minimum: 30 }),
            late_joiners: true,
            skip_holidays: true,
            ..Plan::new(Audience::Everyone, "", "")
        }
    }

    #[test]
    fn a_plan_is_read_back_from_its_own_form() {
        let again = read(&fields(&plan()), Plan::new(Audience::Everyone, "", ""), Extent::Draft).unwrap();
        assert_eq!(again, plan());
    }

    #[test]
    fn of_a_campaign_that_has_begun_only_its_limits_are_read() {
        let typed = Fields::read("words1=other&senders=PN9&rate=&hours=10:00-11:00&daily_cap=7");
        let limited = read(&typed, plan(), Extent::Limits).unwrap();
        assert_eq!((limited.rate.as_ref(), limited.daily_cap, limited.budget_segments), (None, 7, None));
        let rest = Plan {
            hours: plan().hours,
            rate: plan().rate,
            daily_cap: DAILY_CAP,
            budget_segments: Some(90),
            skip_holidays: true,
            ..limited
        };
        assert_eq!(rest, plan());
    }

    #[test]
    fn what_is_no_number_is_told_by_its_name() {
        for (typed, says) in [
            ("daily_cap=many", "daily cap"),
            ("words1=STOP&weight1=x", "weight of text A"),
            ("hours=soon", "no hours"),
        ] {
            let told = read(&Fields::read(typed), plan(), Extent::New).unwrap_err();
            assert!(told.contains(says), "{told}");
        }
        let lines = read(&Fields::read("words1=a%0D%0ASTOP"), plan(), Extent::New).unwrap();
        assert_eq!(lines.variants[0].template, "a\nSTOP");
    }
}
