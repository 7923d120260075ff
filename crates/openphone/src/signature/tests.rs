//! The published vectors, an independent implementation, and a search for anything that passes and
//! should not.

use http::{HeaderValue, header::HeaderName};
use proptest::prelude::*;

use super::*;

const KEY: &str = "gIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaXmJmam5ydnp8=";
const STANDARD_KEY: &str = "whsec_gIGCg4SFhoeIiYqLjI2Oj5CRkpOUlZaXmJmam5ydnp8=";
const OTHER_KEY: &str = "c29tZSBvdGhlciBrZXk=";
const LEGACY_BODY: &str = r#"{"id":"EV7f3a0c1d2e4b4f6a8c9d0e1f2a3b4c5d","object":"event","apiVersion":"v3","createdAt":"2026-10-09T15:00:00.000Z","type":"message.received","data":{"object":{"id":"AC0a1b2c3d4e5f60718293a4b5c6d7e8f9","object":"message","from":"+12125550101","to":"+12125550199","direction":"incoming","body":"ok 👍","media":[],"status":"received"}}}"#;
const STANDARD_BODY: &str = r#"{"id":"EV7f3a0c1d2e4b4f6a8c9d0e1f2a3b4c5d","apiVersion":"2026-03-30","createdAt":"2026-10-09T15:00:00.000Z","type":"message.received","data":{"resource":{"id":"AC0a1b2c3d4e5f60718293a4b5c6d7e8f9","direction":"incoming","text":"ok 👍","media":[],"status":"received","createdAt":"2026-10-09T15:00:00.000Z"},"context":{"orgId":"OR1a2b3c4d","phoneNumberId":"PNq1w2e3r4","conversationId":"CN00112233445566778899aabbccddeeff","userId":"USz9y8x7w6","contacts":{"ids":[],"lookupStatus":"none"},"senderIdentifier":"+12125550101","recipientIdentifiers":["+12125550199"]},"links":{"quo":null}}}"#;
const LEGACY_SIGNATURE: &str = "hmac;1;1791558000123;ceGH9uF0HMSxd05I6GIsHTIS3mAjMcApzEu5l2e/P8w=";
const STANDARD_SIGNATURE: &str = "v1,reVo9JaB30ufehAWGOj1KW+O8lIsX5/FWJX8oTCENfw=";
const ID: &str = "msg_3Zk0testDelivery00000001";
const TIMESTAMP: i64 = 1_791_558_000;

fn secrets() -> Secrets {
    Secrets::parse([KEY, STANDARD_KEY]).unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_secs(seconds).unwrap()
}

fn request(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
    });
    let mut headers = HeaderMap::new();
    pairs.for_each(|(name, value)| {
        headers.append(name, value);
    });
    headers
}

fn standard(id: &str, timestamp: &str, signature: &str) -> HeaderMap {
    request(&[(WEBHOOK_ID, id), (WEBHOOK_TIMESTAMP, timestamp), (WEBHOOK_SIGNATURE, signature)])
}

fn check(headers: &HeaderMap, body: &str) -> Result<Verified, SignatureError> {
    verify(&secrets(), &Tolerance::default(), headers, body.as_bytes(), at(TIMESTAMP))
}

fn legacy(signature: &str) -> Result<Verified, SignatureError> {
    check(&request(&[(OPENPHONE_SIGNATURE, signature)]), LEGACY_BODY)
}

#[test]
fn the_legacy_vector_is_made_and_accepted() {
    assert_eq!(LEGACY_BODY.len(), 337);
    let key = Key::parse(KEY).unwrap();
    assert_eq!(sign_legacy(&key, 1_791_558_000_123, LEGACY_BODY.as_bytes()), LEGACY_SIGNATURE);
    let verified = legacy(LEGACY_SIGNATURE).unwrap();
    assert_eq!(verified.scheme, Scheme::Legacy);
    assert_eq!(verified.delivery_id, None);
    assert_eq!(verified.timestamp.timestamp_millis(), 1_791_558_000_123);
}

#[test]
fn a_signature_made_with_the_key_read_as_latin_1_is_refused() {
    let wrong = "hmac;1;1791558000123;NKqMme9zSkO5IKuB00cGbQt6Ji1qFAZv1WjaOX2o9vQ=";
    assert_eq!(legacy(wrong), Err(SignatureError::SignatureInvalid));
}

#[test]
fn the_standard_vector_is_made_and_accepted() {
    assert_eq!(STANDARD_BODY.len(), 585);
    let key = Key::parse(STANDARD_KEY).unwrap();
    assert_eq!(sign_standard(&key, ID, TIMESTAMP, STANDARD_BODY.as_bytes()), STANDARD_SIGNATURE);
    let verified = check(&standard(ID, "1791558000", STANDARD_SIGNATURE), STANDARD_BODY).unwrap();
    assert_eq!(verified.scheme, Scheme::Standard);
    assert_eq!(verified.delivery_id.as_deref(), Some(ID));
    assert_eq!(verified.timestamp, at(TIMESTAMP));
}

#[test]
fn the_public_vector_of_standard_webhooks_is_accepted() {
    let secrets = Secrets::parse(["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]).unwrap();
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let headers = standard("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", signature);
    let body = br#"{"test": 2432232314}"#;
    assert!(verify(&secrets, &Tolerance::default(), &headers, body, at(1_614_265_330)).is_ok());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the other implementation reads the system clock itself")]
fn the_reference_implementation_agrees_in_both_directions() {
    let other = standardwebhooks::Webhook::new(STANDARD_KEY).unwrap();
    let now = Utc::now();
    let timestamp = now.timestamp();
    let theirs = other.sign(ID, timestamp, STANDARD_BODY.as_bytes()).unwrap();
    let headers = standard(ID, &timestamp.to_string(), &theirs);
    assert!(verify(&secrets(), &Tolerance::default(), &headers, STANDARD_BODY.as_bytes(), now).is_ok());

    let key = Key::parse(STANDARD_KEY).unwrap();
    let ours = sign_standard(&key, ID, timestamp, STANDARD_BODY.as_bytes());
    let headers = standard(ID, &timestamp.to_string(), &ours);
    assert!(other.verify(STANDARD_BODY.as_bytes(), &headers).is_ok());
}

#[test]
fn any_secret_of_a_scheme_may_match_and_none_of_the_other() {
    let rotated = Secrets::parse(["whsec_c29tZSBvdGhlciBrZXk=", STANDARD_KEY, OTHER_KEY, KEY]).unwrap();
    let crossed = Secrets::parse(["whsec_c29tZSBvdGhlciBrZXk=", KEY]).unwrap();
    let headers = standard(ID, "1791558000", STANDARD_SIGNATURE);
    let run = |secrets| {
        verify(secrets, &Tolerance::default(), &headers, STANDARD_BODY.as_bytes(), at(TIMESTAMP))
            .map(|verified| verified.key)
    };
    assert_eq!(run(&rotated), Ok(1), "the second of its scheme");
    assert_eq!(run(&crossed), Err(SignatureError::SignatureInvalid));
}

#[test]
fn signed_with_two_keys_it_is_told_to_be_of_the_last() {
    let keys = ["whsec_c29tZSBvdGhlciBrZXk=", STANDARD_KEY];
    let sign =
        |key: &str| sign_standard(&Key::parse(key).unwrap(), ID, 1_791_558_000, STANDARD_BODY.as_bytes());
    let both = format!("{} {}", sign(keys[1]), sign(keys[0]));
    let headers = standard(ID, "1791558000", &both);
    for (order, place) in [([0, 1], 1), ([1, 0], 1)] {
        let secrets = Secrets::parse(order.map(|at: usize| keys[at])).unwrap();
        let verified =
            verify(&secrets, &Tolerance::default(), &headers, STANDARD_BODY.as_bytes(), at(TIMESTAMP));
        assert_eq!(verified.unwrap().key, place);
    }
    let legacy = [OTHER_KEY, KEY]
        .map(|key| sign_legacy(&Key::parse(key).unwrap(), 1_791_558_000_123, LEGACY_BODY.as_bytes()));
    let headers = request(&[(OPENPHONE_SIGNATURE, &legacy.join(","))]);
    let secrets = Secrets::parse([KEY, OTHER_KEY]).unwrap();
    let verified = verify(&secrets, &Tolerance::default(), &headers, LEGACY_BODY.as_bytes(), at(TIMESTAMP));
    assert_eq!(verified.unwrap().key, 1);
}

#[test]
fn one_good_signature_in_a_list_is_enough() {
    let junk = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for list in [
        format!("{junk} {STANDARD_SIGNATURE}"),
        format!("{STANDARD_SIGNATURE} {junk}"),
        format!("v1a,abc {STANDARD_SIGNATURE} v2,x"),
    ] {
        assert!(check(&standard(ID, "1791558000", &list), STANDARD_BODY).is_ok(), "{list}");
    }
    let junk = "hmac;1;1791558000123;AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for list in [
        format!("{junk},{LEGACY_SIGNATURE}"),
        format!("{LEGACY_SIGNATURE}, {junk}"),
        format!("hmac;2;x;y,{LEGACY_SIGNATURE}"),
    ] {
        assert!(legacy(&list).is_ok(), "{list}");
    }
}

#[test]
fn the_number_of_signatures_looked_at_is_bounded() {
    let junk = "v1,AAAA ".repeat(32);
    let headers = standard(ID, "1791558000", &format!("{junk}{STANDARD_SIGNATURE}"));
    assert_eq!(check(&headers, STANDARD_BODY), Err(SignatureError::SignatureInvalid));
    let long = format!("{STANDARD_SIGNATURE} {}", "x".repeat(4096));
    let headers = standard(ID, "1791558000", &long);
    assert_eq!(check(&headers, STANDARD_BODY), Err(SignatureError::HeaderMalformed(WEBHOOK_SIGNATURE)));
}

#[test]
fn a_failed_standard_check_never_falls_back_to_the_legacy_one() {
    let headers = request(&[
        (WEBHOOK_ID, ID),
        (WEBHOOK_TIMESTAMP, "1791558000"),
        (WEBHOOK_SIGNATURE, "v1,AAAA"),
        (OPENPHONE_SIGNATURE, LEGACY_SIGNATURE),
    ]);
    assert_eq!(check(&headers, LEGACY_BODY), Err(SignatureError::SignatureInvalid));
}

#[test]
fn missing_and_duplicated_headers_are_refused() {
    assert_eq!(check(&HeaderMap::new(), ""), Err(SignatureError::SignatureMissing));
    let all = [(WEBHOOK_ID, ID), (WEBHOOK_TIMESTAMP, "1791558000"), (WEBHOOK_SIGNATURE, STANDARD_SIGNATURE)];
    for &(name, value) in &all {
        let mut headers = request(&all);
        headers.append(name, HeaderValue::from_str(value).unwrap());
        assert_eq!(check(&headers, STANDARD_BODY), Err(SignatureError::HeaderDuplicated(name)));
        headers.remove(name);
        let missing = match name {
            WEBHOOK_SIGNATURE => SignatureError::SignatureMissing,
            name => SignatureError::HeaderMissing(name),
        };
        assert_eq!(check(&headers, STANDARD_BODY), Err(missing));
    }
    let twice = request(&[(OPENPHONE_SIGNATURE, LEGACY_SIGNATURE), (OPENPHONE_SIGNATURE, LEGACY_SIGNATURE)]);
    assert_eq!(check(&twice, LEGACY_BODY), Err(SignatureError::HeaderDuplicated(OPENPHONE_SIGNATURE)));
}

#[test]
fn a_time_in_the_unit_of_the_other_scheme_is_named() {
    let headers = standard(ID, "1791558000123", STANDARD_SIGNATURE);
    assert_eq!(check(&headers, STANDARD_BODY), Err(SignatureError::TimestampUnit(Scheme::Standard)));
    let seconds = LEGACY_SIGNATURE.replace("1791558000123", "1791558000");
    assert_eq!(legacy(&seconds), Err(SignatureError::TimestampUnit(Scheme::Legacy)));
    for odd in ["17915580", "+791558000", "0x91558000", "1791558000.0"] {
        let headers = standard(ID, odd, STANDARD_SIGNATURE);
        assert_eq!(check(&headers, STANDARD_BODY), Err(SignatureError::TimestampMalformed), "{odd}");
    }
}

#[test]
fn headers_without_a_known_version_are_malformed() {
    for list in ["v1a,abc", "v1", "reVo9J", " "] {
        let headers = standard(ID, "1791558000", list);
        assert_eq!(check(&headers, STANDARD_BODY), Err(SignatureError::SignatureMalformed), "{list}");
    }
    for list in ["hmac;1", "hmac;2;1791558000123;AAAA", ";;;", ","] {
        assert_eq!(legacy(list), Err(SignatureError::SignatureMalformed), "{list}");
    }
}

#[test]
fn freshness_is_judged_in_both_directions_and_after_the_signature() {
    let headers = standard(ID, "1791558000", STANDARD_SIGNATURE);
    let forged = standard(ID, "1791558000", "v1,AAAA");
    let tolerance = Tolerance::default();
    for (now, fresh) in [(300, true), (-300, true), (301, false), (-301, false)] {
        let now = at(TIMESTAMP + now);
        let verdict = verify(&secrets(), &tolerance, &headers, STANDARD_BODY.as_bytes(), now);
        assert_eq!(verdict.is_ok(), fresh);
        assert!(fresh || verdict.unwrap_err().code() == "timestamp_stale");
        let verdict = verify(&secrets(), &tolerance, &forged, STANDARD_BODY.as_bytes(), now);
        assert_eq!(verdict, Err(SignatureError::SignatureInvalid));
    }
}

#[test]
fn legacy_freshness_can_be_switched_off() {
    let headers = request(&[(OPENPHONE_SIGNATURE, LEGACY_SIGNATURE)]);
    let later = at(TIMESTAMP + 3 * 86_400);
    let off = Tolerance { legacy: None, ..Tolerance::default() };
    assert!(verify(&secrets(), &off, &headers, LEGACY_BODY.as_bytes(), later).is_ok());
    let verdict = verify(&secrets(), &Tolerance::default(), &headers, LEGACY_BODY.as_bytes(), later);
    assert_eq!(verdict, Err(SignatureError::TimestampStale { age_seconds: 259_199 }));
}

#[test]
fn a_scheme_without_a_secret_is_our_fault() {
    let headers = standard(ID, "1791558000", STANDARD_SIGNATURE);
    let verdict = verify(&Secrets::default(), &Tolerance::default(), &headers, b"", at(TIMESTAMP));
    let error = verdict.unwrap_err();
    assert_eq!(error, SignatureError::SecretNotConfigured(Scheme::Standard));
}

/// Every text that differs from `text` in one bit, as far as a header can hold it.
fn one_bit_off(text: &str) -> impl Iterator<Item = String> {
    let bytes = text.as_bytes().to_vec();
    (0..bytes.len() * 8).filter_map(move |bit| {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let text = String::from_utf8(bytes).ok()?;
        HeaderValue::from_str(&text).is_ok().then_some(text)
    })
}

#[test]
fn no_single_bit_of_a_standard_request_can_change() {
    for id in one_bit_off(ID) {
        assert!(check(&standard(&id, "1791558000", STANDARD_SIGNATURE), STANDARD_BODY).is_err());
    }
    for timestamp in one_bit_off("1791558000") {
        assert!(check(&standard(ID, &timestamp, STANDARD_SIGNATURE), STANDARD_BODY).is_err());
    }
    for signature in one_bit_off(STANDARD_SIGNATURE) {
        let headers = standard(ID, "1791558000", &signature);
        assert!(check(&headers, STANDARD_BODY).is_err(), "{signature}");
    }
}

#[test]
fn no_single_bit_of_a_legacy_request_can_change() {
    for signature in one_bit_off(LEGACY_SIGNATURE) {
        assert!(legacy(&signature).is_err(), "{signature}");
    }
}

#[test]
fn no_single_byte_of_a_body_can_change() {
    let standard = standard(ID, "1791558000", STANDARD_SIGNATURE);
    let legacy = request(&[(OPENPHONE_SIGNATURE, LEGACY_SIGNATURE)]);
    for (headers, body) in [(standard, STANDARD_BODY), (legacy, LEGACY_BODY)] {
        for at_byte in 0..body.len() {
            let mut bytes = body.as_bytes().to_vec();
            bytes[at_byte] ^= 0x01;
            let verdict = verify(&secrets(), &Tolerance::default(), &headers, &bytes, at(TIMESTAMP));
            assert_eq!(verdict, Err(SignatureError::SignatureInvalid), "byte {at_byte}");
        }
    }
}

#[test]
fn another_spelling_of_the_same_code_is_refused() {
    // 32 bytes leave two unused bits in the last digit: `w` and `x` would decode alike.
    for respelled in [
        STANDARD_SIGNATURE.replace("fw=", "fx="),
        STANDARD_SIGNATURE.replace("fw=", "fw"),
        STANDARD_SIGNATURE.replace("fw=", "fw=="),
        STANDARD_SIGNATURE.replace('+', "-").replace('/', "_"),
    ] {
        let headers = standard(ID, "1791558000", &respelled);
        assert_eq!(check(&headers, STANDARD_BODY), Err(SignatureError::SignatureInvalid), "{respelled}");
    }
}

proptest! {
    #[test]
    fn arbitrary_headers_and_bodies_are_refused_and_survived(
        id in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..64)),
        timestamp in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
        signature in proptest::option::of("(v1a?,)?[A-Za-z0-9+/= ,;]{0,80}"),
        legacy in proptest::option::of("(hmac;1;)?[0-9]{0,13};?[A-Za-z0-9+/= ,;]{0,80}"),
        body in proptest::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (WEBHOOK_ID, id),
            (WEBHOOK_TIMESTAMP, timestamp),
            (WEBHOOK_SIGNATURE, signature.map(String::into_bytes)),
            (OPENPHONE_SIGNATURE, legacy.map(String::into_bytes)),
        ] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(&value).ok()) {
                headers.insert(name, value);
            }
        }
        prop_assert!(verify(&secrets(), &Tolerance::default(), &headers, &body, at(TIMESTAMP)).is_err());
    }

    #[test]
    fn whatever_is_signed_is_accepted_and_nothing_else(
        id in "[!-~]{1,40}",
        timestamp in 1_000_000_000i64..9_999_999_999,
        body in proptest::collection::vec(any::<u8>(), 0..256),
        flipped in any::<prop::sample::Index>(),
    ) {
        let key = Key::parse(KEY).unwrap();
        let millis = timestamp * 1000 + 7;
        let signed = [
            standard(&id, &timestamp.to_string(), &sign_standard(&key, &id, timestamp, &body)),
            request(&[(OPENPHONE_SIGNATURE, &sign_legacy(&key, millis, &body))]),
        ];
        for headers in signed {
            let run = |body: &[u8]| {
                verify(&secrets(), &Tolerance::default(), &headers, body, at(timestamp)).map(|_| ())
            };
            prop_assert_eq!(run(&body), Ok(()));
            let mut tampered = body.clone();
            if tampered.is_empty() { tampered.push(0) } else { tampered[flipped.index(body.len())] ^= 0x80 }
            prop_assert_eq!(run(&tampered), Err(SignatureError::SignatureInvalid));
        }
    }
}
