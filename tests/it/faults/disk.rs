//! No room on the disk: webhooks are answered 503, nothing that was acknowledged is lost, and work goes on when
//! there is room again.

use trunkline_openphone::event::Generation;
use trunkline_openphone::factory::Factory;

use crate::harness::disk::SmallDisk;
use crate::harness::judge::{all_ended, wrongs};
use crate::harness::{Env, Program, provider, provider_for, start_time, until};

async fn full_and_free_again(disk: SmallDisk) {
    let url = format!("sqlite://{}", disk.path().join("trunkline.db").display());
    let env = Env::new(url, None, tempfile::tempdir().unwrap()).await;
    let mut program = Program::new(&env, &["serve"]);
    let mut config = provider();
    config.rate_per_second = 150.0;
    config.seed = 9;
    let simulator = provider_for(&program, config).await;
    program = program.allow_host(simulator.addr());
    program.start().await.unwrap();
    until("webhooks get through", async || simulator.deliveries().len() > 50).await;

    let process = program.pid().unwrap();
    disk.fill(process).unwrap();
    let event = Factory::new(5).text(Generation::Dated, start_time()).remove(0);
    let body = event.body;
    until("a webhook is answered 503", async || {
        simulator.send_webhook(Generation::Dated, body.clone()).await == Ok(503)
    })
    .await;
    // Under the limit its log cannot grow either.
    let missed = || program.output().matches("leases could not be looked after").count();
    until("leases are missed that nobody can renew", async || !disk.is_own() || missed() > 3).await;
    let stuck = simulator.deliveries().len();
    assert!(program.lives(), "it waits for room");
    disk.free(process).unwrap();
    until("webhooks get through again", async || simulator.deliveries().len() > stuck + 50).await;
    simulator.set_target(None);
    let tasks = env.live_tasks();
    until("all work has ended", async || all_ended(&tasks).await).await;
    assert!(!program.output().contains("the lease is lost"), "who could not renew it has lost nothing");
    program.stop().await.unwrap();
    let wrongs = wrongs(&env, &simulator.deliveries()).await.unwrap();
    assert!(wrongs.is_empty(), "{}", wrongs.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_webhooks_and_loses_nothing() {
    full_and_free_again(SmallDisk::new(64).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_grow_is_the_same() {
    full_and_free_again(SmallDisk::limited().unwrap()).await;
}
