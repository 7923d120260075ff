//! What must outlive a restart, one JSON object a line.
//!
//! A line cut off by a crash is skipped when the journal is read again, and costs nothing else.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};
use tokio::{
    fs::{File, OpenOptions},
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter},
    sync::mpsc,
};
use tokio_util::task::TaskTracker;

use super::{AcceptedMessage, Delivery};
use crate::event::MessageStatus;

/// How many entries may wait to be written.
const WAITING: usize = 4096;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub(super) enum Entry {
    /// The simulator started.
    Started,
    /// A delivery was acknowledged for the first time.
    Acknowledged(Delivery),
    /// A text was accepted for sending.
    Accepted(AcceptedMessage),
    /// What became of a text is known.
    Settled { id: String, status: MessageStatus, error_code: Option<String> },
}

enum Order {
    Write(Box<Entry>),
    Close,
}

/// Where entries go; nowhere, if there is no file.
pub(super) struct Journal {
    orders: Option<mpsc::Sender<Order>>,
    writer: TaskTracker,
}

impl Journal {
    /// Reads what earlier runs wrote and makes ready to go on writing.
    pub(super) async fn open(path: Option<&Path>, mut restore: impl FnMut(Entry)) -> io::Result<Self> {
        let writer = TaskTracker::new();
        let Some(path) = path else { return Ok(Self { orders: None, writer }) };
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(path).await?;
        let mut lines = BufReader::new(&mut file);
        let mut line = Vec::new();
        let (mut unreadable, mut torn) = (0, false);
        while lines.read_until(b'\n', &mut line).await? > 0 {
            torn = !line.ends_with(b"\n");
            match serde_json::from_slice(&line) {
                Ok(entry) => restore(entry),
                Err(_) => unreadable += 1,
            }
            line.clear();
        }
        if unreadable > 0 {
            tracing::warn!(lines = unreadable, "skipped unreadable lines of the simulator's journal");
        }
        if torn {
            file.write_all(b"\n").await?;
        }
        let (sender, receiver) = mpsc::channel(WAITING);
        writer.spawn(write(file, receiver));
        Ok(Self { orders: Some(sender), writer })
    }

    pub(super) async fn write(&self, entry: Entry) {
        if let Some(sender) = &self.orders
            && sender.send(Order::Write(Box::new(entry))).await.is_err()
        {
            tracing::error!("the simulator's journal is closed; an entry is lost");
        }
    }

    /// Returns when everything written so far is with the operating system.
    pub(super) async fn close(&self) {
        if let Some(sender) = &self.orders {
            // Where nobody takes the order, the writer has come to its end already.
            let _ = sender.send(Order::Close).await;
        }
        self.writer.close();
        self.writer.wait().await;
    }
}

async fn write(file: File, mut orders: mpsc::Receiver<Order>) {
    let mut file = BufWriter::new(file);
    while let Some(Order::Write(entry)) = orders.recv().await {
        report(append(&mut file, &entry, orders.is_empty()).await);
    }
    report(file.flush().await);
}

async fn append(file: &mut BufWriter<File>, entry: &Entry, flush: bool) -> io::Result<()> {
    let mut line = serde_json::to_vec(entry)?;
    line.push(b'\n');
    file.write_all(&line).await?;
    if flush { file.flush().await } else { Ok(()) }
}

fn report(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "cannot write the simulator's journal");
    }
}
