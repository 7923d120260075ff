//! A host of media on this machine, whose files a test puts there and takes away.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::web::{Data, Path};
use poem::{EndpointExt, Response, Route, Server, get, handler};
use serde_json::json;

#[derive(Clone, Debug)]
struct File {
    content_type: &'static str,
    bytes: Bytes,
}

#[derive(Debug, Default)]
struct Files {
    files: Mutex<HashMap<String, File>>,
    requests: AtomicUsize,
}

/// Serves files under made-up names until the test ends.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    base: String,
    files: Arc<Files>,
}

#[handler]
fn serve(Path(name): Path<String>, Data(files): Data<&Arc<Files>>) -> Response {
    files.requests.fetch_add(1, Ordering::Relaxed);
    match files.files.lock().unwrap().get(&name) {
        Some(file) => Response::builder().content_type(file.content_type).body(file.bytes.clone()),
        None => Response::builder().status(poem::http::StatusCode::NOT_FOUND).finish(),
    }
}

impl Host {
    pub(crate) async fn start() -> Self {
        let files = Arc::new(Files::default());
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
        let address = acceptor.local_addr()[0].as_socket_addr().copied().unwrap();
        let routes = Route::new().at("/media/:name", get(serve)).data(Arc::clone(&files));
        tokio::spawn(Server::new_with_acceptor(acceptor).run(routes));
        Self { base: format!("http://{address}/media/"), files }
    }

    /// Puts a file there and answers its link.
    pub(crate) fn put(&self, name: &str, content_type: &'static str, bytes: impl Into<Bytes>) -> String {
        let file = File { content_type, bytes: bytes.into() };
        self.files.files.lock().unwrap().insert(name.to_owned(), file);
        format!("{}{name}", self.base)
    }

    pub(crate) fn remove(&self, name: &str) {
        self.files.files.lock().unwrap().remove(name);
    }

    /// How many requests there were.
    pub(crate) fn requests(&self) -> usize {
        self.files.requests.load(Ordering::Relaxed)
    }
}

/// A message with files: `(link, what it is said to be)`.
pub(crate) fn message(id: &str, files: &[(&str, Option<&str>)]) -> String {
    let media: Vec<_> = files.iter().map(|(url, said)| json!({"url": url, "type": said})).collect();
    json!({"id": format!("EV{id}"), "apiVersion": "2026-03-30", "type": "message.received",
        "createdAt": "2026-03-02T09:00:00Z",
        "data": {"resource": {"id": format!("AC{id}"), "direction": "incoming", "media": media}}})
    .to_string()
}
