//! Keys: made, used, rotated, revoked and guessed.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use chrono::TimeDelta;
use prometheus::Registry;
use rand::SeedableRng;
use rand::rngs::StdRng;
use secrecy::ExposeSecret;
use serde_json::Value;
use trunkline::access::{
    Access, AccessMetrics, AccessSettings, CreatedKey, Denied, KeyError, KeyState, Keys, NewKey, Scope,
    Scopes,
};
use trunkline_platform::audit::{self, Actor, AuditFilter, AuditRow};

use crate::faults::crash_points::die_at;
use crate::harness::{Env, Program, both_engines};

/// Where the process may die in a rotation.
pub(crate) const ROTATING: [&str; 2] = ["rotate.before_commit", "rotate.after_commit"];
const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn actor() -> Actor {
    Actor { name: "operator:ana".to_owned(), reason: Some("a test".to_owned()) }
}

fn new_key(name: &str, scopes: &[Scope]) -> NewKey {
    NewKey { name: name.to_owned(), scopes: Scopes::of(scopes), expires_in: Some(TimeDelta::days(30)) }
}

fn access(env: &Env) -> Access {
    let keys = Keys::new(env.db.clone(), env.clock.clone(), StdRng::seed_from_u64(7));
    let settings = AccessSettings { rate_per_second: 10, rate_burst: 20, session: TimeDelta::hours(12) };
    Access::new(keys, settings, AccessMetrics::new(&Registry::new()).unwrap())
}

async fn acts(env: &Env) -> Vec<AuditRow> {
    let mut rows =
        audit::list(&env.db, &AuditFilter { limit: 1_000, ..AuditFilter::default() }).await.unwrap();
    rows.reverse();
    rows
}

fn token(created: &CreatedKey) -> &str {
    created.token.expose_secret()
}

both_engines! {
    async fn a_key_opens_until_it_expires_or_is_revoked_and_nothing_keeps_its_secret(env: Env) {
        let access = access(&env);
        let made = access.keys().create(new_key("export", &[Scope::Read, Scope::Pii]), &actor()).await.unwrap();
        let caller = access.by_token(token(&made), HOME).await.unwrap();
        assert_eq!((&caller.key, caller.name.as_str()), (&made.key.id, "export"));
        assert!(caller.scopes.has(Scope::Pii) && !caller.scopes.has(Scope::Operate));

        let secret = token(&made).rsplit('_').next().unwrap();
        for row in acts(&env).await {
            assert!(!format!("{row:?}").contains(secret), "{row:?}");
        }
        assert!(!format!("{:?}", access.keys().list(None, 10).await.unwrap()).contains(secret));

        env.clock.advance(TimeDelta::days(30));
        assert!(matches!(access.by_token(token(&made), HOME).await, Err(Denied::Expired)));
        let other = access.keys().create(new_key("other", &[Scope::Read]), &actor()).await.unwrap();
        access.keys().revoke(&other.key.id, &actor()).await.unwrap();
        assert!(matches!(access.by_token(token(&other), HOME).await, Err(Denied::Revoked)));
        assert!(matches!(access.keys().revoke(&other.key.id, &actor()).await, Err(KeyError::Revoked(_))));
        let done: Vec<String> = acts(&env).await.into_iter().map(|row| row.action).collect();
        assert_eq!(done, ["key.create", "key.create", "key.revoke"]);
    }

    async fn a_rotated_key_and_its_successor_overlap(env: Env) {
        let access = access(&env);
        let old = access.keys().create(new_key("export", &[Scope::Operate]), &actor()).await.unwrap();
        let new = access.keys().rotate(&old.key.id, TimeDelta::hours(1), &actor()).await.unwrap();
        assert_eq!((&new.key.replaces, new.key.scopes), (&Some(old.key.id.clone()), old.key.scopes));
        assert_ne!(token(&new), token(&old));
        for key in [&old, &new] {
            access.by_token(token(key), HOME).await.unwrap();
        }
        env.clock.advance(TimeDelta::hours(1));
        assert!(matches!(access.by_token(token(&old), HOME).await, Err(Denied::Expired)));
        access.by_token(token(&new), HOME).await.unwrap();
        assert_eq!(new.key.expires_at.unwrap() - new.key.created_at, TimeDelta::days(30), "a full life");
        assert!(matches!(
            access.keys().rotate(&old.key.id, TimeDelta::zero(), &actor()).await,
            Err(KeyError::Expired(_))
        ));
    }

    async fn a_rotation_never_makes_a_key_last_longer(env: Env) {
        let keys = Keys::new(env.db.clone(), env.clock.clone(), StdRng::seed_from_u64(7));
        let short = NewKey { expires_in: Some(TimeDelta::minutes(5)), ..new_key("short", &[Scope::Read]) };
        let old = keys.create(short, &actor()).await.unwrap();
        keys.rotate(&old.key.id, TimeDelta::days(7), &actor()).await.unwrap();
        assert_eq!(keys.show(&old.key.id).await.unwrap().unwrap().expires_at, old.key.expires_at);
    }

    async fn the_last_use_is_written_later_and_only_the_newest(env: Env) {
        let access = access(&env);
        let made = access.keys().create(new_key("export", &[Scope::Read]), &actor()).await.unwrap();
        access.by_token(token(&made), HOME).await.unwrap();
        let last_use = async || access.keys().show(&made.key.id).await.unwrap().unwrap().last_used_at;
        assert_eq!(last_use().await, None, "no request writes");
        env.clock.advance(TimeDelta::seconds(5));
        access.by_token(token(&made), HOME).await.unwrap();
        access.write_notes().await.unwrap();
        assert_eq!(last_use().await, Some(env.clock.now()));
    }

    async fn whoever_guesses_is_slowed_down_and_told_of_once(env: Env) {
        let access = access(&env);
        let made = access.keys().create(new_key("export", &[Scope::Read]), &actor()).await.unwrap();
        let stranger = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
        let wrong = format!("tlk_{}_{}", made.key.id, "0".repeat(64));
        let mut waited = 0;
        for _ in 0..500 {
            match access.by_token(&wrong, stranger).await {
                Err(Denied::WrongSecret) => {}
                Err(Denied::Throttled { .. }) => waited += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(waited, 490, "ten tries, and then it waits");
        assert!(matches!(access.by_token(token(&made), stranger).await, Err(Denied::Throttled { .. })));
        access.by_token(token(&made), HOME).await.unwrap();
        access.write_notes().await.unwrap();
        let told: Vec<AuditRow> =
            acts(&env).await.into_iter().filter(|row| row.action == "access.refuse").collect();
        assert_eq!(told.len(), 2, "one of the key, one of the tries that were not looked at");
        let of_key = told.iter().find(|row| row.subject == format!("key:{}", made.key.id)).unwrap();
        let after: Value = serde_json::from_str(of_key.after.as_ref().unwrap()).unwrap();
        assert_eq!((&after["reasons"]["wrong_secret"], &after["sources"][0]), (&10.into(), &"192.0.2.7".into()));
        access.write_notes().await.unwrap();
        assert_eq!(acts(&env).await.iter().filter(|row| row.action == "access.refuse").count(), 2);
        env.clock.advance(TimeDelta::seconds(30));
        access.by_token(token(&made), stranger).await.unwrap();
    }

    async fn a_session_ends_when_it_is_left_with_its_time_and_with_its_key(env: Env) {
        let access = access(&env);
        let made = access.keys().create(new_key("ana", &[Scope::Read]), &actor()).await.unwrap();
        let caller = access.by_token(token(&made), HOME).await.unwrap();
        let open = async || access.open_session(&caller).await.unwrap();
        let (left, late, last) = (open().await, open().await, open().await);
        for session in [&left, &late, &last] {
            assert!(access.by_session(session.expose_secret(), HOME).await.unwrap().by_session);
        }
        access.close_session(&caller, left.expose_secret()).await.unwrap();
        assert!(matches!(access.by_session(left.expose_secret(), HOME).await, Err(Denied::Unknown)));
        env.clock.advance(TimeDelta::hours(12));
        assert!(matches!(access.by_session(late.expose_secret(), HOME).await, Err(Denied::Expired)));
        let fresh = open().await;
        access.keys().revoke(&made.key.id, &actor()).await.unwrap();
        assert!(matches!(access.by_session(fresh.expose_secret(), HOME).await, Err(Denied::Revoked)));
        assert!(matches!(access.by_session(token(&made), HOME).await, Err(Denied::Malformed)));
    }

    async fn sessions_of_one_key_are_bounded(env: Env) {
        let access = access(&env);
        let made = access.keys().create(new_key("ana", &[Scope::Read]), &actor()).await.unwrap();
        let caller = access.by_token(token(&made), HOME).await.unwrap();
        let first = access.open_session(&caller).await.unwrap();
        for _ in 0..50 {
            env.clock.advance(TimeDelta::seconds(1));
            access.open_session(&caller).await.unwrap();
        }
        assert!(matches!(access.by_session(first.expose_secret(), HOME).await, Err(Denied::Unknown)));
    }

    async fn what_is_no_key_is_refused_with_what_to_do(env: Env) {
        let keys = Keys::new(env.db.clone(), env.clock.clone(), StdRng::seed_from_u64(7));
        for (new, says) in [
            (new_key(" ", &[Scope::Read]), "name"),
            (new_key("a\nb", &[Scope::Read]), "name"),
            (new_key("a", &[]), "scope"),
            (NewKey { expires_in: Some(TimeDelta::zero()), ..new_key("a", &[Scope::Read]) }, "expires"),
        ] {
            let error = keys.create(new, &actor()).await.unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(acts(&env).await.is_empty());
    }

    async fn killed_in_a_rotation_a_working_key_is_left_and_it_can_be_rotated_again(env: Env) {
        let keys = Keys::open(env.db.clone(), trunkline_platform::clock::Clock::system());
        let old = keys.create(new_key("export", &[Scope::Read]), &actor()).await.unwrap();
        let id = old.key.id.to_string();
        let words = ["keys", "rotate", &id, "--overlap", "1h", "--by", "ana"];
        for (point, successors) in ROTATING.into_iter().zip([0, 1]) {
            let mut program = Program::new(&env, &words);
            die_at(&mut program, point, 1).await;
            let now = keys.clock().now();
            let rows = keys.list(None, 100).await.unwrap();
            let row = rows.iter().find(|row| row.id == old.key.id).unwrap();
            assert_eq!(row.state(now), KeyState::Active, "{point}");
            assert_eq!(rows.iter().filter(|row| row.replaces.is_some()).count(), successors, "{point}");
            let rotations = acts(&env).await.iter().filter(|row| row.action == "key.rotate").count();
            assert_eq!(rotations, successors, "{point}: an act has its entry");
        }
        let program = Program::new(&env, &[]);
        let said = program.run(&words).unwrap();
        let metrics = AccessMetrics::new(&Registry::new()).unwrap();
        let settings = AccessSettings { rate_per_second: 10, rate_burst: 20, session: TimeDelta::hours(12) };
        let access = Access::new(keys, settings, metrics);
        access.by_token(said.trim(), HOME).await.unwrap();
        access.by_token(token(&old), HOME).await.unwrap();
    }

    async fn keys_are_made_listed_and_revoked_on_the_command_line(env: Env) {
        let program = Program::new(&env, &[]);
        assert!(program.run(&["keys", "list"]).unwrap().starts_with("there is no key"));
        let said = program
            .run(&["keys", "create", "export", "--scope", "operate,pii", "--by", "ana", "--json"])
            .unwrap();
        let made: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(made["key"]["scopes"], serde_json::json!(["read", "operate", "pii"]));
        let id = made["key"]["id"].as_str().unwrap();
        let listed = program.run(&["keys", "list"]).unwrap();
        assert!(listed.contains(id) && listed.contains("operator:ana"), "{listed}");
        assert!(!listed.contains(made["token"].as_str().unwrap()));
        program.run(&["keys", "revoke", id, "--by", "ana"]).unwrap();
        assert!(!program.run(&["keys", "list"]).unwrap().contains(id));
        assert!(program.run(&["keys", "list", "--all"]).unwrap().contains("revoked"));
        let refused = program.run(&["keys", "revoke", id, "--by", "ana"]).unwrap_err().to_string();
        assert!(refused.contains("was revoked already"), "{refused}");
        let refused = program.run(&["keys", "create", "x", "--scope", "root"]).unwrap_err().to_string();
        assert!(refused.contains("read, operate, admin and pii"), "{refused}");
    }
}

#[tokio::test]
async fn a_key_is_allowed_so_many_requests() {
    let env = Env::sqlite().await;
    let access = access(&env);
    let made = access.keys().create(new_key("export", &[Scope::Read]), &actor()).await.unwrap();
    for left in (0..20).rev() {
        let (burst, standing) = access.count(&made.key.id);
        assert_eq!((burst, standing.allowed, standing.left), (20, true, left));
    }
    let (_, refused) = access.count(&made.key.id);
    assert!(!refused.allowed);
    assert_eq!(refused.next.to_std().unwrap(), Duration::from_millis(100));
}
