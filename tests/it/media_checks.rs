//! What is let in, what is refused and why, and what is made of pictures.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};

use crate::harness::host::{Host, message};
use crate::harness::{Env, both_engines};
use crate::kept::Keeper;

/// A field, a sun and the sky.
fn landscape() -> DynamicImage {
    RgbImage::from_fn(1200, 800, |x, y| {
        let (dx, dy) = (f64::from(x) - 900.0, f64::from(y) - 200.0);
        if dx.hypot(dy) < 120.0 {
            Rgb([250, 210, 60])
        } else if y > 520 {
            Rgb([40, (120 + x % 60) as u8, 50])
        } else {
            Rgb([120, 170, (180 + y / 10) as u8])
        }
    })
    .into()
}

pub(crate) fn picture(format: ImageFormat) -> Vec<u8> {
    let mut content = Cursor::new(Vec::new());
    landscape().write_to(&mut content, format).unwrap();
    content.into_inner()
}

async fn objects(keeper: &Keeper<'_>) -> usize {
    keeper.services.media.store.list(None, 1_000).await.unwrap().len()
}

pub(crate) fn left_in_temp(keeper: &Keeper<'_>) -> usize {
    std::fs::read_dir(keeper.services.media.store.temp_dir()).unwrap().count()
}

both_engines! {
    async fn a_picture_is_kept_with_a_thumbnail_and_what_it_was_said_to_be(env: Env) {
        let keeper = Keeper::new(&env).await;
        let host = Host::start().await;
        let jpeg = host.put("a.jpg", "image/jpeg", picture(ImageFormat::Jpeg));
        let lie = host.put("b.jpg", "text/html", picture(ImageFormat::Png));
        let card = host.put("c", "text/x-vcard", "BEGIN:VCARD\r\nFN:Ana\r\nEND:VCARD\r\n");
        keeper.tell_and_work(&[message("1", &[(&jpeg, Some("image/jpg")), (&lie, Some("image/jpeg")), (&card, None)])]).await;
        keeper.assert_nothing_failed().await;
        let columns = "position state media_type type_mismatch declared_type served_type thumbnail_type thumbnail_error";
        let t = |truth: bool| match (env.redis_url.is_some(), truth) {
            (true, true) => "true",
            (true, false) => "false",
            (false, true) => "1",
            (false, false) => "0",
        };
        assert_eq!(keeper.rows("media", columns).await, [
            format!("media 0 stored image/jpeg {} image/jpg image/jpeg image/jpeg -", t(false)),
            format!("media 1 stored image/png {} image/jpeg text/html image/jpeg -", t(true)),
            format!("media 2 stored text/vcard {} - text/x-vcard - -", t(false)),
        ]);
        for row in keeper.rows("media", "thumbnail_sha256 size").await.iter().filter(|row| !row.contains(" - ")) {
            let hash = row.split(' ').nth(1).unwrap().parse().unwrap();
            let content = keeper.stored(&hash).await;
            let small = image::load_from_memory(&content).unwrap().to_rgb8();
            assert_eq!((small.width(), small.height()), (320, 213));
            let (sun, sky, field) = (small.get_pixel(240, 53), small.get_pixel(20, 20), small.get_pixel(20, 200));
            assert!(sun.0[0] > 200 && sky.0[2] > 150 && field.0[1] > field.0[2], "{sun:?} {sky:?} {field:?}");
        }
        // The two thumbnails came out alike or not; the originals are two and the card is one.
        assert!((4..=5).contains(&objects(&keeper).await));
        assert_eq!(left_in_temp(&keeper), 0);
    }

    async fn what_is_refused_says_why_on_its_row_and_leaves_nothing(env: Env) {
        let keeper = Keeper::new(&env).await;
        let host = Host::start().await;
        let whole = picture(ImageFormat::Jpeg);
        let mut bomb = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\xea\x60\0\0\xea\x60\x08\x02\0\0\0\0\0\0\0".to_vec();
        bomb.extend(b"\0\0\0\0IEND\xae\x42\x60\x82");
        let cases: [(&str, Vec<u8>, &str); 6] = [
            ("empty", Vec::new(), "the file is empty"),
            ("cut", whole[..whole.len() / 2].to_vec(), "the file is a broken image/jpeg: "),
            ("page", b"<html><script>alert(1)</script></html>".to_vec(), "the file is text/html, and files of that kind (other) "),
            ("both", [whole.as_slice(), b"<script>alert(1)</script>"].concat(), "the file is image/jpeg and at the same time a web page"),
            ("bomb", bomb, "the picture is 60000 x 60000: more than 200000000 pixels"),
            ("large", vec![b'a'; 1_000_001], "the file is larger than 1000000 bytes"),
        ];
        let links: Vec<String> =
            cases.iter().map(|(name, content, _)| host.put(name, "image/jpeg", content.clone())).collect();
        let told: Vec<(&str, Option<&str>)> = links.iter().map(|link| (link.as_str(), None)).collect();
        keeper.tell_and_work(&[message("1", &told)]).await;
        let rows = keeper.rows("media", "position state error").await;
        for (position, (name, _, why)) in cases.iter().enumerate() {
            let expected = format!("media {position} failed {why}");
            assert!(rows[position].starts_with(&expected), "{name}: {} is not {expected}", rows[position]);
        }
        assert_eq!(objects(&keeper).await, 0);
        assert_eq!(left_in_temp(&keeper), 0);
        let requests = host.requests();
        assert_eq!(requests, cases.len(), "none is fetched twice");
    }
}
