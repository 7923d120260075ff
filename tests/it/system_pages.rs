//! The page of the system: what it depends on, what it is, and its settings.

use trunkline::access::Scope;
use trunkline_platform::task::WorkerId;

use crate::admin::Site;
use crate::dashboard::page;
use crate::harness::browser::{Browser, SCREENS};
use crate::harness::{Env, Program, both_engines};

both_engines! {
    async fn the_system_is_told_to_whoever_looks_and_its_settings_to_administrators(env: Env) {
        let site = Site::start(&env).await;
        let (read, admin) = (site.key(&[Scope::Operate, Scope::Pii]).await, site.key(&[Scope::Admin]).await);
        let worker = WorkerId::new("wk_<b>1");
        site.tasks.register_worker(&worker, "far <b>away", chrono::TimeDelta::days(1)).await.unwrap();
        let told = page(&site, "/system", &read).await;
        for part in ["well", env!("CARGO_PKG_VERSION"), "never looked at", "A master key is set", "wk_&lt;b&gt;1", "in a folder"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!told.contains("Settings") && !told.contains("openphone.api_key"), "{told}");
        let told = page(&site, "/system", &admin).await;
        assert!(told.contains("<code>openphone.api_key</code>") && told.contains("(hidden)") && !told.contains("hunter2"), "{told}");
    }

    async fn the_program_tells_of_itself_and_hides_its_secrets(env: Env) {
        let mut program = Program::new(&env, &["serve"]).set("TRUNKLINE_OPENPHONE_API_KEY", "hunter2");
        program.start().await.unwrap();
        let key = program.run(&["keys", "create", "test", "--scope", "admin", "--by", "ana", "--reason", "a test"]).unwrap();
        let answer = reqwest::Client::new().get(program.url("/system")).bearer_auth(key.trim()).send().await.unwrap();
        let told = answer.text().await.unwrap();
        for part in ["The workers of this process", "<code>database.url</code>", "(hidden)", "TRUNKLINE_OPENPHONE_API_KEY", "Files are scanned"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
        program.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_system_fits_a_desk_and_a_phone() {
    let env = Env::sqlite().await;
    let site = Site::start(&env).await;
    let key = site.key(&[Scope::Admin]).await;
    for (width, colours) in SCREENS {
        let browser = Browser::start(width, colours).await;
        browser.enter(&site.url, &key, "/system").await;
        browser.look("system").await;
        browser.close().await;
    }
}
