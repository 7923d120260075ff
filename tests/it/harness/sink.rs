//! A development machine: takes webhooks and remembers each as it came, answers as it is told, or hangs.

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use poem::http::{HeaderMap, StatusCode};
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::web::Data;
use poem::{EndpointExt, Request, Response, Route, Server, handler};
use trunkline_jobs::events;
use trunkline_jobs::forward::original;
use trunkline_platform::db::{Stmt, Text};

use super::Env;

/// A webhook as it arrived, or as it is to arrive.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Arrived {
    /// Without those of the connection, in order.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Arrived {
    pub(crate) fn of(headers: &HeaderMap, body: &[u8]) -> Self {
        let mut headers: Vec<(String, Vec<u8>)> = headers
            .iter()
            .filter(|(name, _)| !["host", "content-length"].contains(&name.as_str()))
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect();
        headers.sort_unstable();
        Self { headers, body: body.to_vec() }
    }
}

/// Stands for an answer that never comes.
const HANGS: u16 = 0;

#[derive(Debug)]
struct State {
    arrived: Mutex<Vec<Arrived>>,
    requests: AtomicUsize,
    status: AtomicU16,
}

#[derive(Clone, Debug)]
pub(crate) struct Sink {
    pub(crate) port: u16,
    state: Arc<State>,
}

#[handler]
async fn take(Data(state): Data<&Arc<State>>, request: &Request, body: Vec<u8>) -> Response {
    state.requests.fetch_add(1, Ordering::SeqCst);
    let status = state.status.load(Ordering::SeqCst);
    if status == HANGS {
        std::future::pending::<()>().await;
    }
    state.arrived.lock().unwrap().push(Arrived::of(request.headers(), &body));
    Response::builder().status(StatusCode::from_u16(status).unwrap()).finish()
}

impl Sink {
    /// On any port, answering 204.
    pub(crate) async fn start() -> Self {
        Self::on(0).await
    }

    pub(crate) async fn on(port: u16) -> Self {
        let state =
            State { arrived: Mutex::default(), requests: AtomicUsize::new(0), status: AtomicU16::new(204) };
        let state = Arc::new(state);
        let acceptor = TcpListener::bind(("127.0.0.1", port)).into_acceptor().await.unwrap();
        let port = acceptor.local_addr()[0].as_socket_addr().unwrap().port();
        let routes = Route::new().at("/hooks", poem::post(take)).data(Arc::clone(&state));
        tokio::spawn(Server::new_with_acceptor(acceptor).run(routes));
        Self { port, state }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hooks", self.port)
    }

    pub(crate) fn answers(&self, status: u16) {
        self.state.status.store(status, Ordering::SeqCst);
    }

    pub(crate) fn hangs(&self) {
        self.answers(HANGS);
    }

    /// Requests, answered or not.
    pub(crate) fn requests(&self) -> usize {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// What came and was answered, in order.
    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.state.arrived.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.state.arrived.lock().unwrap().len()
    }
}

static STORED: Stmt =
    Stmt { name: "STORED", text: Text::Same("SELECT headers, body FROM events ORDER BY id LIMIT 10000") };

/// Every stored webhook, in order.
pub(crate) async fn stored(env: &Env) -> Vec<Arrived> {
    let rows: Vec<(String, String)> = STORED.query().all(&mut env.db.read().await.unwrap()).await.unwrap();
    let stored = |(headers, body): (String, String)| {
        Arrived::of(&original::headers(&headers).unwrap(), body.as_bytes())
    };
    rows.into_iter().map(stored).collect()
}

/// How many there are.
pub(crate) async fn stored_count(env: &Env) -> usize {
    let counts = events::count(&env.db).await.unwrap();
    usize::try_from(counts.iter().map(|row| row.count).sum::<i64>()).unwrap()
}
