//! Figures on calls: how many came to what, how long people talked, at which hours it rings.
//!
//! # What a call came to
//! The column `calls.outcome` decides by the first rule that holds. A call that has no end yet has none.
//!
//! | outcome | rule |
//! | --- | --- |
//! | `ai_handled` | the provider says so |
//! | `forwarded` | the provider says so, or to whom |
//! | `answered` | the provider says so, or it says "completed" and when or by whom it was answered |
//! | `failed` | an outgoing call that failed |
//! | `unanswered` | any other outgoing call |
//! | `voicemail` | nobody answered, and the caller left a message |
//! | `failed` | an incoming call that failed |
//! | `abandoned` | the caller gave up ("abandoned", "canceled") |
//! | `missed` | any other incoming call |
//! | `other` | it is over, and nobody told which way it went |
//!
//! The **missed-call rate** is the share of `missed`, `voicemail` and `abandoned` among incoming calls. A **talk** is a
//! call that was answered, forwarded or handled by the AI and whose length was told; average and median are
//! of those. The provider tells an outgoing call that reached an answering machine as answered. A call counts where it
//! began, on the number and for the user who answered it, or else whose call it was.
//!
//! # Where the figures come from
//! Counts and averages come from `call_hours`, which [`RefreshCallStats`] keeps up with the calls: whoever changes a
//! call leaves a mark (a trigger, so no writer can forget), and the job makes the marked hours anew from the
//! calls. Medians are exact, and read from the calls of the period.

mod period;
mod read;
mod refresh;

use trunkline_platform::db::Stmt;

pub use period::{Breakdown, Range, RangeError, USUAL_DAYS};
pub use read::{CallStats, Counts, Filter, Group, Hour, StatsError, by_hour, stats};
pub use refresh::{RefreshCallStats, Round, refresh};

pub(crate) static STATEMENTS: [&[&Stmt]; 2] = [read::STATEMENTS, refresh::STATEMENTS];
