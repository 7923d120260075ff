//! One campaign on its way, in a time of its own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use chrono::{DateTime, Utc};

use super::people::Page;
use super::world::{Times, World};
use crate::campaigns::gate::{Known, Rules, Verdict, weigh};
use crate::campaigns::hours::Holidays;
use crate::campaigns::plan::{Plan, PlanError};
use crate::campaigns::round::{BATCH, Counted, Round};
use crate::campaigns::table::CampaignRow;
use crate::contacts::people::kept_out;
use crate::contacts::place;

/// What is kept of somebody who waits: little, for there can be a million. In the order of their turns.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Person {
    due_at: DateTime<Utc>,
    position: i64,
    /// The number without its `+`.
    digits: u64,
    variant: u8,
    zones: u16,
    /// The segments of the text, or which of the lane's reasons there is for none.
    text: Result<u16, u16>,
    opted_out: bool,
    kept_out: Option<&'static str>,
    texted_at: Option<DateTime<Utc>>,
    was_held: bool,
}

impl Person {
    pub(super) fn number(&self) -> String {
        format!("+{}", self.digits)
    }
}

impl Counted for u16 {
    fn segments(&self) -> u32 {
        u32::from(*self)
    }
}

/// What one look came to.
#[derive(Default)]
pub(super) struct Look {
    pub(super) at: DateTime<Utc>,
    /// With the number each is sent from.
    pub(super) texts: Vec<(Person, u32, String)>,
    pub(super) refused: Vec<(Person, String)>,
    /// Why people have to wait who had not to before.
    pub(super) held: Vec<&'static str>,
    /// What holds everybody up until the next look.
    pub(super) waits_for: Option<&'static str>,
}

pub(super) struct Lane<'p> {
    pub(super) rules: Rules<'p>,
    pub(super) next: DateTime<Utc>,
    /// At which of all looks its last text left.
    pub(super) served: u32,
    /// Why it does not go on.
    pub(super) stopped: Option<String>,
    segments: i64,
    own: Times,
    /// Those whose turn it is.
    front: VecDeque<Person>,
    /// Those who were read and not looked at.
    boarded: VecDeque<Person>,
    /// Those who were looked at and are held.
    held: BinaryHeap<Reverse<Person>>,
    winner: Option<String>,
    has_everybody: bool,
    done: bool,
    reasons: Vec<String>,
    hours: HashMap<u16, (DateTime<Utc>, Option<DateTime<Utc>>)>,
}

impl<'p> Lane<'p> {
    pub(super) fn new(
        row: &CampaignRow,
        plan: &'p Plan,
        holidays: &Holidays,
        own: Times,
        start: DateTime<Utc>,
    ) -> Result<Self, PlanError> {
        Ok(Self {
            rules: Rules::new(plan, holidays)?.only(row.winner.as_deref()),
            winner: row.winner.clone(),
            next: start,
            served: 0,
            stopped: None,
            segments: row.segments,
            own,
            front: VecDeque::new(),
            boarded: VecDeque::new(),
            held: BinaryHeap::new(),
            has_everybody: false,
            done: false,
            reasons: Vec::new(),
            hours: HashMap::new(),
        })
    }

    pub(super) fn flies(&self) -> bool {
        !self.done && self.stopped.is_none()
    }

    pub(super) fn wants_people(&self) -> bool {
        !self.has_everybody && self.boarded.len() < BATCH as usize
    }

    pub(super) fn has_everybody(&mut self) {
        self.has_everybody = true;
    }

    /// How many of those who were read have come to no end.
    pub(super) fn waiting(&self) -> i64 {
        (self.front.len() + self.boarded.len() + self.held.len()) as i64
    }

    /// Takes a page of people in.
    pub(super) fn board(&mut self, world: &mut World, page: Page) {
        for (due_at, mut candidate) in page.people {
            candidate.give(self.winner.as_deref());
            let (zone, region) = (candidate.time_zone.as_deref(), candidate.region.as_deref());
            let zones = world.zones_of(place::of_person(&candidate.number, zone, region).zones);
            let fields = candidate.fields();
            let text = self.rules.text(&candidate.variant, |name| fields.get(name).cloned());
            let variants = &self.rules.plan.variants;
            let variant = variants.iter().position(|variant| variant.name == candidate.variant);
            let person = Person {
                due_at,
                position: candidate.position,
                digits: candidate.number.trim_start_matches('+').parse().unwrap_or_default(),
                variant: variant.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX),
                zones,
                text: match text {
                    Ok(text) => Ok(u16::try_from(text.segments.count).unwrap_or(u16::MAX)),
                    Err(reason) => Err(self.reason(reason)),
                },
                opted_out: page.closed.contains(&candidate.number),
                kept_out: page.flagged.get(&candidate.number).and_then(|flag| kept_out(flag)),
                texted_at: page.lately.get(&candidate.number).copied(),
                was_held: false,
            };
            self.boarded.push_back(person);
        }
    }

    /// The name of a person's text.
    pub(super) fn variant(&self, person: &Person) -> &'p str {
        let plan: &'p Plan = self.rules.plan;
        plan.variants.get(usize::from(person.variant)).map_or("", |variant| variant.name.as_str())
    }

    fn reason(&mut self, reason: String) -> u16 {
        let known = self.reasons.iter().position(|known| *known == reason);
        let at = known.unwrap_or_else(|| {
            self.reasons.push(reason);
            self.reasons.len() - 1
        });
        u16::try_from(at).unwrap_or(u16::MAX)
    }

    /// When the next of those who are not in front is due.
    fn next_due(&self) -> Option<DateTime<Utc>> {
        let held = self.held.peek().map(|Reverse(person)| person.due_at);
        let boarded = self.boarded.front().map(|person| person.due_at);
        [held, boarded].into_iter().flatten().min()
    }

    /// Brings those whose turn it is to the front, up to as many as the gate looks at.
    fn call(&mut self, now: DateTime<Utc>) {
        while self.front.len() < BATCH as usize && self.next_due().is_some_and(|due| due <= now) {
            let held_first = match (self.held.peek(), self.boarded.front()) {
                (Some(Reverse(held)), Some(boarded)) => held < boarded,
                (held, _) => held.is_some(),
            };
            let next =
                if held_first { self.held.pop().map(|Reverse(held)| held) } else { self.boarded.pop_front() };
            self.front.extend(next);
        }
    }

    fn verdict(&mut self, world: &World, at: usize, now: DateTime<Utc>) -> Verdict<u16> {
        let person = &self.front[at];
        let known =
            Known { opted_out: person.opted_out, kept_out: person.kept_out, texted_at: person.texted_at };
        let (rules, reasons, hours) = (&self.rules, &self.reasons, &mut self.hours);
        let text = || person.text.map_err(|reason| reasons[usize::from(reason)].clone());
        let opens = || {
            let (asked, opens) = hours.entry(person.zones).or_insert((DateTime::UNIX_EPOCH, None));
            // What is closed opens when it was said to; what is open has to be asked again as time goes on.
            let holds = *asked == now || opens.is_some_and(|opens| opens > now);
            if !holds {
                (*asked, *opens) = (now, rules.opens(world.zones(person.zones), now));
            }
            *opens
        };
        weigh(rules, known, now, text, opens)
    }

    /// Looks once, as the gate does, and says when to look again.
    pub(super) fn look(&mut self, world: &mut World) -> Look {
        let now = self.next;
        let mut look = Look { at: now, ..Look::default() };
        self.call(now);
        if self.front.is_empty() {
            match self.next_due() {
                Some(due) => {
                    self.next = due.max(now);
                    look.waits_for = Some("quiet_hours");
                }
                None => self.done = true,
            }
            return look;
        }
        let verdicts: Vec<Verdict<u16>> =
            (0..self.front.len()).map(|at| self.verdict(world, at, now)).collect();
        let plan: &'p Plan = self.rules.plan;
        let mut round = match Round::of(plan, verdicts.into_iter().enumerate()) {
            Ok(round) => round,
            Err(reason) => return self.stop(look, reason),
        };
        let limits = match world.limits(plan, self.segments, &mut self.own, now) {
            Ok(limits) => limits,
            Err(reason) => return self.stop(look, reason),
        };
        let wanted = round.want(&limits);
        let grant = world.grant(wanted, now);
        let mut front: Vec<Option<Person>> = self.front.drain(..).map(Some).collect();
        for (at, until, reason) in round.held.drain(..) {
            if let Some(person) = front[at].take() {
                look.held.extend((!person.was_held).then_some(reason));
                self.held.push(Reverse(Person { due_at: until, was_held: true, ..person }));
            }
        }
        for (at, reason) in round.refused.drain(..) {
            look.refused.extend(front[at].take().map(|person| (person, reason)));
        }
        let leaving = round.leave(limits, grant, now);
        for (at, segments, sender) in leaving.texts {
            world.sent(&sender, now);
            self.own.push_back(now);
            self.segments += i64::from(segments);
            look.texts.extend(front[at].take().map(|person| (person, segments.segments(), sender)));
        }
        self.front.extend(front.into_iter().flatten());
        self.next = leaving.next;
        // Where some left and others have to wait, it is for the next request.
        look.waits_for = leaving.waits_for.or_else(|| (self.next > now).then_some("provider_rate"));
        match leaving.stop {
            Some(reason) => self.stop(look, reason.to_owned()),
            None => look,
        }
    }

    fn stop(&mut self, look: Look, reason: String) -> Look {
        self.stopped = Some(reason);
        look
    }
}
