//! The one HTTP server of a process.

use std::time::Duration;

use poem::listener::TcpAcceptor;
use poem::{Endpoint, EndpointExt, Route, Server, get};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::acceptor::PatientAcceptor;
use super::probes;
use super::queue_metrics::{self, Scrape};
use crate::health::Probes;
use crate::paths;
use crate::receiver::WebhookEndpoint;

pub(super) fn routes(
    webhooks: Option<WebhookEndpoint>,
    pages: Option<Route>,
    probes: Probes,
    scrape: Scrape,
) -> impl Endpoint<Output = poem::Response> {
    let mut route = pages
        .unwrap_or_default()
        .at("/healthz", get(probes::health))
        .at("/readyz", get(probes::ready).data(probes))
        .at("/metrics", get(queue_metrics::metrics).data(scrape));
    if let Some(webhooks) = webhooks {
        route = route.at("/webhooks/openphone", webhooks);
    }
    route.before(|request| async { Ok(paths::legible(request)) }).map_to_response()
}

pub(super) async fn serve(
    listener: TcpListener,
    routes: impl Endpoint<Output = poem::Response> + 'static,
    stop: CancellationToken,
    grace: Duration,
) -> std::io::Result<()> {
    Server::new_with_acceptor(PatientAcceptor::new(TcpAcceptor::from_tokio(listener)?))
        .run_with_graceful_shutdown(routes, stop.cancelled_owned(), Some(grace))
        .await
}
