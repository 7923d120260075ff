//! Things happening by themselves, at a steady rate.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::interval;

use super::{Faults, lock, provider::Provider};

/// Lets events happen until told to stop, or until there are as many as wanted.
pub(super) fn start(provider: &Arc<Provider>, per_second: f64, most: Option<u64>) {
    // Only a stream with an end is worth waiting for, and it has begun before anyone can wait.
    let mark = most.map(|_| provider.begin());
    let stream = Arc::clone(provider);
    provider.tasks.spawn(async move {
        run(stream, per_second, most).await;
        drop(mark);
    });
}

async fn run(provider: Arc<Provider>, per_second: f64, most: Option<u64>) {
    let mut beat = interval(Duration::from_secs_f64(1.0 / per_second));
    let mut happening = VecDeque::new();
    for _ in 0..most.unwrap_or(u64::MAX) {
        tokio::select! {
            () = provider.stopping.cancelled() => return,
            _ = beat.tick() => {}
        }
        while happening.is_empty() {
            let (generation, now) = (provider.any_generation(), provider.now());
            let infected = Faults::strikes(&mut lock(&provider.whims), provider.faults.infected);
            let mut factory = lock(&provider.factory);
            happening.extend(match infected {
                true => factory.infected_message(generation, now),
                false => factory.anything(generation, now),
            });
        }
        let Some(event) = happening.pop_front() else { continue };
        if provider.submit(event).await.is_err() {
            return;
        }
    }
}
