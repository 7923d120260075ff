//! `GET /healthz` and `GET /readyz`, for load balancers and whoever restarts what hangs.

use poem::http::StatusCode;
use poem::web::{Data, Json};
use poem::{IntoResponse, Response, handler};

use crate::health::Probes;

/// `GET /healthz`: the process answers.
#[handler]
pub(super) fn health() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: what it needs answers too.
#[handler]
pub(super) async fn ready(Data(probes): Data<&Probes>) -> Response {
    let report = probes.report().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Json(report).with_status(status).into_response()
}
