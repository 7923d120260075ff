//! Whom we text: the provider's address book, as its events tell it, and the people of our own campaigns with what
//! they said about being texted.
//!
//! * [`people`]: one row a number, for campaigns. [`number`] and [`place`] tell what a number is and where it is.
//! * [`optout`]: who must not be texted, and why.
//! * [`segments`]: filters over people. [`import`], [`export`] and [`seed`] bring people in, out, and into being.

mod deleted;
pub mod export;
pub mod import;
pub mod number;
pub mod optout;
pub mod people;
pub mod place;
pub mod seed;
pub mod segments;
mod store;
mod updated;

use trunkline_platform::db::Stmt;

pub use deleted::ContactDeleted;
pub use updated::ContactUpdated;

use self::number::Country;
use self::optout::{Answers, Words, WordsError};

pub(crate) fn statements() -> impl Iterator<Item = &'static [&'static Stmt]> {
    let own = [segments::STATEMENTS, import::STATEMENTS, store::STATEMENTS];
    let parts = [people::STATEMENTS, optout::ALL_STATEMENTS];
    own.into_iter().chain(parts.into_iter().flatten().copied())
}

/// What jobs need to know of people and their words.
#[derive(Debug)]
pub struct ContactServices {
    /// Of numbers that are written without a country code.
    pub country: Country,
    pub words: Words,
    pub answers: Answers,
}

impl ContactServices {
    /// As the program comes.
    ///
    /// # Errors
    /// When the built-in lists cannot be read, which a test rules out.
    pub fn builtin() -> Result<Self, WordsError> {
        let words = Words::new(&optout::MoreWords::default())?;
        Ok(Self { country: Country::default(), words, answers: Answers::default() })
    }
}
