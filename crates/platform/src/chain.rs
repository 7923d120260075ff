//! Telling an error with its causes, each once.

use std::error::Error;

/// An error and its causes, joined by colons. A cause that the error before it has told already is left out:
/// not every library keeps to telling a cause or linking it.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !told.contains(&text) {
            told.push_str(": ");
            told.push_str(&text);
        }
        cause = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_cause_told_twice_is_told_once() {
        let disk = io::Error::other("disk full");
        let error = anyhow::Error::new(disk).context("writing: disk full").context("saving the row");
        assert_eq!(chain(error.as_ref()), "saving the row: writing: disk full");
    }
}
