//! How far a call has come, and which of two tellings counts.
//!
//! A call ends once, but its end is told in several words: the older webhooks only say that it is over,
//! others how. So of two ends the more telling word counts, whichever was told later.

use trunkline_openphone::event::{Call, CallStatus, ProcessingStatus};

/// How far a call has come by one telling of it: what the telling says, or else what its kind implies.
pub(super) fn status_of(call: &Call, implied: Option<CallStatus>) -> CallStatus {
    let told = call.status.clone().filter(|status| *status != CallStatus::Unknown);
    let over = call.completed_at.map(|_| CallStatus::Completed);
    told.or(implied).or(over).unwrap_or(CallStatus::Unknown)
}

pub(super) fn is_final(status: &CallStatus) -> bool {
    rank(status) >= FIRST_END
}

const FIRST_END: u8 = 10;

/// How much a word tells.
pub(super) fn rank(status: &CallStatus) -> u8 {
    match status {
        CallStatus::Unknown => 0,
        CallStatus::Other(_) => 1,
        CallStatus::Queued => 2,
        CallStatus::Initiated => 3,
        CallStatus::Ringing => 4,
        CallStatus::InProgress => 5,
        CallStatus::Completed => FIRST_END,
        CallStatus::NoAnswer => 11,
        CallStatus::Unanswered => 12,
        CallStatus::Missed => 13,
        CallStatus::Busy => 14,
        CallStatus::Canceled => 15,
        CallStatus::Abandoned => 16,
        CallStatus::Failed => 17,
        CallStatus::Answered => 18,
        CallStatus::Forwarded => 19,
        CallStatus::AiHandled => 20,
    }
}

/// How complete a transcript or summary is.
pub(super) fn completeness(status: &ProcessingStatus) -> u8 {
    match status {
        ProcessingStatus::Absent => 0,
        ProcessingStatus::Other(_) => 1,
        ProcessingStatus::InProgress => 2,
        ProcessingStatus::Failed => 3,
        ProcessingStatus::Completed => 4,
    }
}

#[cfg(test)]
mod tests {
    use trunkline_openphone::event::{Event, Payload};

    use super::*;

    fn call(fields: &str) -> Call {
        let body =
            format!(r#"{{"id":"EV1","type":"call.completed","data":{{"resource":{{"id":"AC1"{fields}}}}}}}"#);
        match Event::parse(body.as_bytes()).unwrap().payload {
            Payload::Call(call) => call,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_event_without_a_usable_status_still_says_how_far_the_call_is() {
        let implied = Some(CallStatus::Completed);
        assert_eq!(status_of(&call(r#","status":"abandoned""#), implied.clone()), CallStatus::Abandoned);
        assert_eq!(status_of(&call(r#","status":"unknown""#), implied.clone()), CallStatus::Completed);
        assert_eq!(status_of(&call(""), implied), CallStatus::Completed);
        assert_eq!(status_of(&call(""), None), CallStatus::Unknown);
        let over = r#","completedAt":"2026-10-09T15:05:19Z""#;
        assert_eq!(status_of(&call(over), None), CallStatus::Completed);
    }

    #[test]
    fn every_word_for_an_end_is_one_and_no_other_is() {
        use CallStatus as S;
        for step in [S::Unknown, S::Other("new".to_owned()), S::Queued, S::Ringing, S::InProgress] {
            assert!(!is_final(&step), "{step:?}");
        }
        for end in [S::Completed, S::Missed, S::Unanswered, S::Busy, S::Failed, S::Answered, S::AiHandled] {
            assert!(is_final(&end), "{end:?}");
        }
    }

    #[test]
    fn that_a_call_is_over_tells_less_than_how_it_ended() {
        let others =
            [CallStatus::Missed, CallStatus::Unanswered, CallStatus::Answered, CallStatus::Forwarded];
        assert!(others.iter().all(|end| rank(end) > rank(&CallStatus::Completed)));
    }

    #[test]
    fn a_finished_transcript_is_never_given_up_for_another() {
        let order = ["absent", "in-progress", "failed", "completed"];
        assert!(order.is_sorted_by_key(|word| completeness(&ProcessingStatus::from((*word).to_owned()))));
    }
}
