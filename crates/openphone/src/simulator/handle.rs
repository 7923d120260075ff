//! Starting a simulator, and holding on to one that runs.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use poem::{Server, listener::TcpAcceptor};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::{sync::DropGuard, task::TaskTracker};
use url::Url;

use super::{
    AcceptedMessage, Delivery, Simulator, SimulatorConfig, SimulatorError, Tally, Truth,
    courier::{Stopped, delivery_id},
    lock,
    provider::Provider,
    server::{Door, SeverableAcceptor},
    stream,
    subscriptions::scheme_of,
};
use crate::{
    event::{Envelope, Generation},
    factory::FactoryEvent,
};

/// How long open connections may finish what they are doing when the simulator stops.
const GRACE: Duration = Duration::from_secs(1);

/// A simulator that runs. Dropping it stops everything; [`stop`](Self::stop) also waits for it.
pub struct SimulatorHandle {
    provider: Arc<Provider>,
    address: SocketAddr,
    tasks: TaskTracker,
    _stop_on_drop: DropGuard,
}

/// Why an event did not get through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    #[error("the simulator is stopping")]
    Stopped,
    #[error("the last attempt failed too")]
    Exhausted,
    #[error("the target gave no answer")]
    NoAnswer,
}

impl From<Stopped> for EmitError {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl Simulator {
    /// Starts a simulator. When this returns, it accepts connections.
    pub async fn start(config: SimulatorConfig) -> Result<SimulatorHandle, SimulatorError> {
        config.check()?;
        let listening = |source| SimulatorError::Listen { address: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(listening)?;
        let address = listener.local_addr().map_err(listening)?;
        let acceptor = TcpAcceptor::from_tokio(listener).map_err(listening)?;

        let tasks = TaskTracker::new();
        let url = public_url(&config, address)?;
        let provider = Arc::new(Provider::new(&config, url, &tasks).await?);
        let acceptor = SeverableAcceptor::new(acceptor);
        let door = Door::new(Arc::clone(&provider), acceptor.connections());
        let stopping = provider.stopping.clone();
        tasks.spawn(async move {
            let stopped = stopping.cancelled_owned();
            let served =
                Server::new_with_acceptor(acceptor).run_with_graceful_shutdown(door, stopped, Some(GRACE));
            if let Err(error) = served.await {
                tracing::error!(%error, "the simulator's server failed");
            }
        });
        if config.rate_per_second > 0.0 {
            stream::start(&provider, config.rate_per_second, config.max_events);
        }
        let stop_on_drop = provider.stopping.clone().drop_guard();
        Ok(SimulatorHandle { provider, address, tasks, _stop_on_drop: stop_on_drop })
    }
}

impl SimulatorHandle {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The base URL of its API.
    pub fn url(&self) -> Url {
        self.provider.url.clone()
    }

    /// From now on these keys open the API, and no others.
    pub fn set_api_keys(&self, keys: Vec<SecretString>) {
        *lock(&self.provider.api_keys) = keys;
    }

    /// The deliveries to present webhooks that are remembered, by their ids, and how often each was tried.
    pub fn logged(&self) -> Vec<(String, usize)> {
        lock(&self.provider.deliveries).attempts()
    }

    pub fn tally(&self) -> Tally {
        self.provider.tally()
    }

    /// The acknowledged deliveries, oldest first; the newest where there are very many.
    pub fn deliveries(&self) -> Vec<Delivery> {
        lock(&self.provider.book).deliveries()
    }

    /// Every text that was accepted for sending, in that order.
    pub fn accepted_messages(&self) -> Vec<AcceptedMessage> {
        lock(&self.provider.store).accepted()
    }

    /// Where webhooks go from now on.
    pub fn set_target(&self, target: Option<Url>) {
        self.provider.target.send_replace(target);
    }

    /// Enables every subscription, or disables it: what happens meanwhile is never told.
    pub fn subscribe(&self, enabled: bool) {
        lock(&self.provider.subscriptions).set_enabled(enabled);
    }

    /// Everything there is to ask for, as the API gives it.
    pub fn truth(&self) -> Truth {
        lock(&self.provider.store).truth()
    }

    /// How often each page of the API was asked for, by path and query; what was refused as too much is not among it.
    pub fn pages_asked(&self) -> BTreeMap<String, u64> {
        lock(&self.provider.book).pages_asked()
    }

    /// Makes an event happen and waits until it is acknowledged.
    pub async fn emit(&self, event: FactoryEvent) -> Result<Delivery, EmitError> {
        let delivering = self.provider.submit(event).await?;
        match delivering.await {
            Ok(Some(delivery)) => Ok(delivery),
            _ if self.provider.stopping.is_cancelled() => Err(EmitError::Stopped),
            _ => Err(EmitError::Exhausted),
        }
    }

    /// Posts any body once, rightly signed, and returns the status of the answer. It is not
    /// counted, retried or remembered. The delivery's id follows from the event's id, if there is
    /// one, and from the body otherwise.
    pub async fn send_webhook(&self, generation: Generation, body: Vec<u8>) -> Result<u16, EmitError> {
        let id = match Envelope::parse(&body) {
            Ok(envelope) => delivery_id(&envelope.id),
            Err(_) => delivery_id(&String::from_utf8_lossy(&body)),
        };
        let first = lock(&self.provider.subscriptions).of(scheme_of(generation)).next().cloned();
        let first = first.ok_or(EmitError::NoAnswer)?;
        let status = self.provider.post_signed(&first, &id, body).await?;
        status.map(|status| status.as_u16()).ok_or(EmitError::NoAnswer)
    }

    /// Waits until nothing is left to do: every event acknowledged or given up, every accepted text
    /// at its end, and a stream with `max_events` run dry. A stream without is not waited for.
    pub async fn idle(&self) {
        let _ = self.provider.unfinished.subscribe().wait_for(|count| *count == 0).await;
    }

    /// Stops: makes no more events, waits for posts under way, and closes the journal.
    pub async fn stop(self) {
        self.provider.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.provider.journal.close().await;
    }
}

fn public_url(config: &SimulatorConfig, address: SocketAddr) -> Result<Url, SimulatorError> {
    if let Some(url) = &config.public_url {
        let mut url = url.clone();
        url.path_segments_mut().map_err(|()| SimulatorError::PublicUrl)?.pop_if_empty().push("");
        return Ok(url);
    }
    let host = if address.ip().is_unspecified() {
        SocketAddr::from(([127, 0, 0, 1], address.port()))
    } else {
        address
    };
    Url::parse(&format!("http://{host}/")).map_err(|_| SimulatorError::PublicUrl)
}
