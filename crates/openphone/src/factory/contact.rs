//! A contact, as two generations tell of it. The v1 API has no webhooks for contacts.

use chrono::{DateTime, TimeDelta, Utc};
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};

use super::{
    envelope::{Telling, iso},
    world::{Person, World},
};
use crate::event::{EventType, Generation};

impl World {
    pub(crate) fn contact(
        &self,
        rng: &mut StdRng,
        kind: EventType,
        generation: Generation,
        now: DateTime<Utc>,
    ) -> Option<Telling> {
        let person = &self.people[rng.random_range(0..self.people.len())];
        let user_id = &self.lines[0].user_id;
        let created_at = now - TimeDelta::days(rng.random_range(1..900));
        let mut subject = match generation {
            Generation::Dated => dated(person),
            Generation::App => app(person, rng, kind == EventType::ContactDeleted, user_id),
            Generation::Api => return None,
        };
        subject["id"] = json!(format!("CT{}", person.contact_id));
        subject["createdAt"] = json!(iso(created_at));
        subject["updatedAt"] = json!(iso(now));
        Some(Telling {
            subject_id: person.contact_id.clone(),
            subject,
            context: json!({"orgId": self.org_id, "userId": user_id, "sharedWithIds": [user_id]}),
            link: None,
            media: Vec::new(),
            record: None,
        })
    }
}

fn dated(person: &Person) -> Value {
    json!({"firstName": person.first_name, "lastName": person.last_name, "company": person.company,
        "role": null, "location": null, "source": null, "externalId": null,
        "emails": [{"value": person.email, "type": "email"}],
        "phoneNumbers": [{"value": person.number, "type": "phone-number"}],
        "customFields": [{"name": "Area", "key": "area", "id": "f1", "type": "multi-select",
            "value": ["north"]}]})
}

fn app(person: &Person, rng: &mut StdRng, deleted: bool, user_id: &str) -> Value {
    let mut subject = json!({"object": "contact", "firstName": person.first_name,
        "lastName": person.last_name, "notes": [], "sharedWith": [user_id], "userId": user_id});
    if let Some(company) = &person.company {
        subject["company"] = json!(company);
    }
    if !deleted {
        subject["fields"] = if rng.random_bool(0.5) {
            json!([{"name": "Phone", "type": "phone-number", "value": person.number},
                {"name": "Email", "type": "email", "value": person.email},
                {"name": "Area", "type": "multi-select", "value": ["north"]}])
        } else {
            json!({"Phone": [person.number], "Email": person.email, "Area": ["north"]})
        };
    }
    subject
}
