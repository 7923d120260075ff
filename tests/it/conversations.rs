//! What is kept of texts and contacts, in whatever order they are told.

use serde_json::{Value, json};
use trunkline_openphone::event::{EventType, Generation};
use trunkline_openphone::factory::Factory;

use crate::harness::{Env, both_engines, start_time};
use crate::kept::Keeper;

const US: &str = "+12125550199";
const HER: &str = "+12125550101";

fn dated(kind: &str, at: &str, resource: Value) -> String {
    json!({"id": format!("EV{kind}{at}"), "apiVersion": "2026-03-30", "type": kind,
        "createdAt": format!("2026-03-02T09:{at}Z"),
        "data": {"resource": resource, "context": {"phoneNumberId": "PN1", "conversationId": "CN1",
            "userId": "US1", "senderIdentifier": US, "recipientIdentifiers": [HER]}}})
    .to_string()
}

fn outgoing(status: &str, error_code: Option<&str>) -> Value {
    json!({"id": "AC1", "direction": "outgoing", "text": "See you at 3", "status": status,
        "errorCode": error_code, "createdAt": "2026-03-02T09:00:00Z"})
}

/// As a webhook of the v1 API tells of it: without a conversation.
fn placeless() -> String {
    json!({"id": "EV9", "object": "event", "apiVersion": "v4", "type": "message.delivered",
        "createdAt": "2026-03-02T09:00:03Z",
        "data": {"object": {"id": "AC1", "object": "message", "direction": "outgoing", "from": US,
            "to": [HER], "text": "See you at 3", "status": "sent", "createdAt": "2026-03-02T09:00:00Z",
            "phoneNumberId": "PN1"}}})
    .to_string()
}

fn contact(kind: &str, updated_at: &str, first_name: &str, numbers: &[&str]) -> String {
    let numbers: Vec<_> =
        numbers.iter().map(|number| json!({"value": number, "type": "phone-number"})).collect();
    json!({"id": format!("EV{kind}{updated_at}"), "apiVersion": "2026-03-30", "type": kind,
        "createdAt": "2026-03-02T09:30:00Z",
        "data": {"resource": {"id": "CT68f0a1b2c3d4e5f601234567", "firstName": first_name,
            "phoneNumbers": numbers, "updatedAt": format!("2026-03-02T09:{updated_at}Z")}}})
    .to_string()
}

both_engines! {
    async fn a_text_is_kept_with_its_conversation_and_its_people(env: Env) {
        let keeper = Keeper::new(&env).await;
        keeper.tell_and_work(&[dated("message.delivered", "00:02", outgoing("delivered", None))]).await;
        assert_eq!(
            keeper.rows("messages", "id conversation_id direction sender text status").await,
            [format!("messages AC1 CN1 outgoing {US} See you at 3 delivered")]
        );
        assert_eq!(
            keeper.rows("message_recipients", "message_id number").await,
            [format!("message_recipients AC1 {HER}")]
        );
        assert_eq!(keeper.rows("numbers", "number").await, [format!("numbers {HER}")]);
        assert_eq!(keeper.rows("workspace_numbers", "number").await, [format!("workspace_numbers {US}")]);
        let participants = keeper.rows("conversation_participants", "conversation_id number").await;
        assert_eq!(participants.len(), 2, "{participants:?}");
        assert_eq!(
            keeper.rows("activities", "id type conversation_id direction status").await,
            ["activities AC1 message CN1 outgoing delivered"]
        );
    }

    async fn the_last_end_of_a_text_counts_and_no_step_before_it(env: Env) {
        let keeper = Keeper::new(&env).await;
        let told = [
            dated("message.delivered", "00:09", outgoing("queued", None)),
            dated("message.failed", "00:01", outgoing("failed", None)),
            dated("message.delivered", "00:04", outgoing("delivered", None)),
            dated("message.undelivered", "00:05", outgoing("undelivered", Some("30007"))),
            placeless(),
        ];
        keeper.assert_order_does_not_matter(&told, 24).await;
        assert_eq!(
            keeper.rows("messages", "id conversation_id status error_code").await,
            ["messages AC1 CN1 undelivered 30007"]
        );
    }

    async fn a_message_waits_for_its_conversation(env: Env) {
        let keeper = Keeper::new(&env).await;
        keeper.tell_and_work(&[placeless()]).await;
        assert_eq!(keeper.rows("messages", "id conversation_id").await, ["messages AC1 -"]);
        keeper.forget().await;
        let placed = dated("message.delivered", "00:02", outgoing("delivered", None));
        keeper.tell_and_work(&[placeless(), placed]).await;
        assert_eq!(keeper.rows("messages", "id conversation_id").await, ["messages AC1 CN1"]);
    }

    async fn the_newest_record_of_a_contact_counts_with_its_numbers(env: Env) {
        let keeper = Keeper::new(&env).await;
        let told = [
            contact("contact.updated", "10:00", "Dana", &[HER]),
            contact("contact.updated", "12:00", "Dana R.", &["+12125550102", "+12125550103"]),
            contact("contact.updated", "11:00", "D.", &[]),
        ];
        keeper.assert_order_does_not_matter(&told, 12).await;
        assert_eq!(
            keeper.rows("contacts", "id first_name").await,
            ["contacts 68f0a1b2c3d4e5f601234567 Dana R."]
        );
        assert_eq!(
            keeper.rows("contact_numbers", "number").await,
            ["contact_numbers +12125550102", "contact_numbers +12125550103"]
        );
    }

    async fn a_deleted_contact_stays_deleted(env: Env) {
        let keeper = Keeper::new(&env).await;
        let told = [
            contact("contact.updated", "10:00", "Dana", &[HER]),
            contact("contact.deleted", "11:00", "Dana", &[]),
            contact("contact.updated", "12:00", "Dana", &[HER]),
        ];
        keeper.assert_order_does_not_matter(&told, 12).await;
        let deleted = keeper.rows("contacts", "deleted").await;
        assert!(["contacts 1", "contacts true"].contains(&deleted[0].as_str()), "{deleted:?}");
        assert!(keeper.rows("contact_numbers", "number").await.is_empty());
    }

    /// All kinds of events of all generations, about many people.
    async fn a_busy_day_leaves_the_same_rows_in_any_order(env: Env) {
        let keeper = Keeper::new(&env).await;
        let mut factory = Factory::new(7).with_media_base("https://10.0.0.1/refused/".parse().unwrap());
        let mut told = Vec::new();
        for n in 0..12 {
            told.extend(factory.anything(Generation::ALL[n % 3], start_time()));
            told.extend(factory.picture_message(Generation::Dated, start_time()));
        }
        for &kind in EventType::ALL {
            for generation in Generation::ALL {
                told.extend(factory.event(kind, generation, start_time()));
            }
        }
        let bodies: Vec<_> = told.into_iter().map(|event| String::from_utf8(event.body).unwrap()).collect();
        keeper.assert_order_does_not_matter(&bodies, 8).await;
    }
}
