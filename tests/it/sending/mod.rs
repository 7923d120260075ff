//! Sending as a whole, with the provider's own list as the judge: [`judge`] plays campaigns with the real program under
//! every fault we know, [`race`] lets people ask to stop while their texts are on the way, and [`day`] watches a day's rates.

mod day;
mod judge;
mod race;
mod stage;
mod verdict;
