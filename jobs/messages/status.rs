//! How far a message has come, and which of two tellings counts.

use trunkline_openphone::event::MessageStatus;

/// Whether the message's way ends here. A failed message can be tried again and then ends anew, so of two
/// ends the later counts, but never a step before an end.
pub(super) fn is_final(status: &MessageStatus) -> bool {
    rank(status) >= FIRST_END
}

const FIRST_END: u8 = 10;

/// Decides between two statuses told for the same moment: how far along the way a word is, and among the
/// ends the better one. A word we do not know counts least.
pub(super) fn rank(status: &MessageStatus) -> u8 {
    match status {
        MessageStatus::Other(_) => 0,
        MessageStatus::Scheduled => 1,
        MessageStatus::Accepted => 2,
        MessageStatus::Queued => 3,
        MessageStatus::Sending => 4,
        MessageStatus::Sent => 5,
        MessageStatus::Receiving => 6,
        MessageStatus::Canceled => FIRST_END,
        MessageStatus::Failed => 11,
        MessageStatus::Undelivered => 12,
        MessageStatus::PartiallyDelivered => 13,
        MessageStatus::Delivered => 14,
        MessageStatus::Received => 15,
        MessageStatus::Read => 16,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(word: &str) -> MessageStatus {
        MessageStatus::from(word.to_owned())
    }

    #[test]
    fn the_ends_are_the_ends() {
        for end in
            ["delivered", "undelivered", "failed", "received", "read", "canceled", "partially_delivered"]
        {
            assert!(is_final(&status(end)), "{end}");
        }
        for step in ["queued", "sending", "sent", "receiving", "accepted", "scheduled", "new-word"] {
            assert!(!is_final(&status(step)), "{step}");
        }
    }

    #[test]
    fn at_one_moment_the_word_further_along_counts() {
        let way = ["new-word", "scheduled", "queued", "sent", "failed", "undelivered", "delivered", "read"];
        assert!(way.is_sorted_by_key(|word| rank(&status(word))));
    }
}
