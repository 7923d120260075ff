//! What is counted of media.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

/// What a download can come to: the values of the label `outcome`.
const OUTCOMES: [&str; 6] = ["stored", "quarantined", "refused", "gone", "held", "failed"];
/// What a scan can come to: the values of the label `result`.
const SCANS: [&str; 4] = ["clean", "found", "away", "too_large"];
const THUMBNAILS: [&str; 2] = ["made", "failed"];

/// The metrics of media. Cheap to clone; the values are shared.
#[derive(Clone, Debug)]
pub struct MediaMetrics {
    downloads: IntCounterVec,
    bytes: IntCounter,
    scans: IntCounterVec,
    scan_seconds: Histogram,
    thumbnails: IntCounterVec,
    fresh_links: IntCounter,
}

impl MediaMetrics {
    /// # Errors
    /// When a metric of the same name is registered already.
    pub fn new(registry: &Registry) -> prometheus::Result<Self> {
        let counters = |name: &str, help: &str, label: &str, values: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), &[label])?;
            registry.register(Box::new(counters.clone()))?;
            for value in values {
                let _ = counters.with_label_values(&[*value]);
            }
            Ok::<_, prometheus::Error>(counters)
        };
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let scan_seconds = Histogram::with_opts(
            HistogramOpts::new("trunkline_media_scan_seconds", "How long the virus scanner took for a file")
                .buckets(vec![0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0]),
        )?;
        registry.register(Box::new(scan_seconds.clone()))?;
        Ok(Self {
            downloads: counters(
                "trunkline_media_downloads_total",
                "Attempts to download a file, by what they came to",
                "outcome",
                &OUTCOMES,
            )?,
            bytes: counter("trunkline_media_downloaded_bytes_total", "Bytes of files that were stored")?,
            scans: counters(
                "trunkline_media_scans_total",
                "Files shown to the virus scanner",
                "result",
                &SCANS,
            )?,
            scan_seconds,
            thumbnails: counters(
                "trunkline_media_thumbnails_total",
                "Thumbnails of pictures",
                "outcome",
                &THUMBNAILS,
            )?,
            fresh_links: counter(
                "trunkline_media_fresh_links_total",
                "Links that were gone and for which the provider was asked for another",
            )?,
        })
    }

    pub(super) fn download(&self, outcome: &str) {
        self.downloads.with_label_values(&[outcome]).inc();
    }

    pub(super) fn stored(&self, bytes: u64) {
        self.download("stored");
        self.bytes.inc_by(bytes);
    }

    pub(super) fn scan(&self, result: &str, took: Duration) {
        self.scans.with_label_values(&[result]).inc();
        self.scan_seconds.observe(took.as_secs_f64());
    }

    pub(super) fn thumbnail(&self, made: bool) {
        self.thumbnails.with_label_values(&[if made { "made" } else { "failed" }]).inc();
    }

    pub(super) fn fresh_link(&self) {
        self.fresh_links.inc();
    }
}
