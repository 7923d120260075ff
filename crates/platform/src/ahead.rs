//! A clock that a test sets while the real program runs, so that what takes days can be judged in seconds.
//!
//! `CLOCK_AHEAD=file` names a file with the microseconds by which the program's clock is ahead of the machine's; whoever
//! changes it puts another file in its place. Only builds with debug assertions know of it.

/// The microseconds of the moment; 0 without a file.
#[cfg(debug_assertions)]
pub fn microseconds() -> i64 {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    /// Process-wide, as is the machine's clock.
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();

    let file = FILE.get_or_init(|| std::env::var_os("CLOCK_AHEAD").map(PathBuf::from));
    let text = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

/// The microseconds of the moment.
#[cfg(not(debug_assertions))]
pub fn microseconds() -> i64 {
    0
}
