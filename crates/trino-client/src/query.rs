//! A statement that runs, and the task that asks the server for its pages.

use crate::answer::Answer;
use crate::client::Client;
use crate::error::{Error, ErrorKind, Result};
use crate::from_value::FromRow;
use crate::page::{Column, Page, Row};
use crate::transport::{NextUri, Reply};
use crate::types::TrinoType;
use crate::values::{RowFault, read_rows};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use std::fmt;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A statement that runs, and its rows.
///
/// One page is asked for ahead, so that at most two are held. Dropping it ends the query in the server, in the background: where that must be
/// known to have happened, [`cancel`](Self::cancel) it.
///
/// The server gives a query up whose rows nobody takes for five minutes (`query.client.timeout`); the next page is then an error of kind
/// [`ErrorKind::Gone`] or [`ErrorKind::Statement`].
pub struct Query {
    id: String,
    columns: Arc<[Column]>,
    /// A page that came with the columns.
    first: Option<Page>,
    /// The page whose rows are given out, and how many of them were.
    current: Option<(Page, usize)>,
    steps: mpsc::Receiver<Result<Step>>,
    end: Option<End>,
    task: JoinHandle<Result<()>>,
}

/// How a statement that was [executed](Client::execute) went.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Executed {
    /// The query, as the server calls it.
    pub query_id: String,
    /// What kind of statement it was, if it was none that reads: `INSERT`, `CREATE TABLE`.
    pub update_type: Option<String>,
    /// Rows that it wrote, changed or deleted, if it is of a kind that does.
    pub update_count: Option<u64>,
    /// Rows that it returned.
    pub rows: u64,
    /// What the server warns of.
    pub warnings: Vec<Warning>,
}

/// What the server warns of.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// Its name: `DEPRECATED_FUNCTION`.
    pub name: String,
    /// The server's words.
    pub message: String,
}

/// Something new of a query.
struct Step {
    id: String,
    columns: Option<Arc<[Column]>>,
    page: Option<Page>,
    end: Option<End>,
}

#[derive(Default)]
struct End {
    update_type: Option<String>,
    update_count: Option<u64>,
    warnings: Vec<Warning>,
}

/// Begins a statement and waits for its columns, or its end.
pub(crate) async fn start(client: Client, sql: String) -> Result<Query> {
    let runtime = tokio::runtime::Handle::try_current().map_err(|_| {
        Error::configuration("a query runs on a Tokio runtime, and there is none here\n  → call it in one: #[tokio::main]")
    })?;
    let headers = client.session.with(|session| session.headers())?;
    let (sender, mut steps) = mpsc::channel(1);
    // The task sends the statement, so that whoever stops waiting for this cannot leave a query behind that nobody knows of.
    let task = runtime.spawn(async move {
        let mut reading = Reading { client, sql, columns: None, id: None };
        reading.run(headers, sender).await
    });
    let step = steps.recv().await.unwrap_or_else(|| Err(interrupted(None)))?;
    let columns = step.columns.unwrap_or_else(|| Arc::from(Vec::new()));
    Ok(Query { id: step.id, columns, first: step.page, current: None, steps, end: step.end, task })
}

fn interrupted(id: Option<&str>) -> Error {
    let error =
        Error::new(ErrorKind::Interrupted, "the task that reads the rows has ended before them: its runtime was shut down");
    match id {
        Some(id) => error.of_query(id),
        None => error,
    }
}

impl Query {
    /// The query, as the server calls it: `20261130_052415_00002_abcde`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The columns of its rows; none for a statement that returns no rows.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The next rows, as they come; `None` after the last. Pages are not empty.
    ///
    /// If this is given up while it waits, no page is lost.
    ///
    /// # Errors
    /// A statement that fails while it runs, a server that is gone; nothing follows.
    pub async fn next_page(&mut self) -> Result<Option<Page>> {
        if let Some((page, taken)) = self.current.take() {
            let rest = page.rest(taken);
            if !rest.is_empty() {
                return Ok(Some(rest));
            }
        }
        loop {
            if let Some(page) = self.first.take() {
                return Ok(Some(page));
            }
            if self.end.is_some() {
                return Ok(None);
            }
            match self.steps.recv().await {
                Some(Ok(step)) => (self.first, self.end) = (step.page, step.end),
                Some(Err(e)) => {
                    self.end = Some(End::default());
                    return Err(e);
                }
                None => return Err(interrupted(Some(&self.id))),
            }
        }
    }

    /// The next row; `None` after the last.
    ///
    /// # Errors
    /// As of [`next_page`](Self::next_page).
    pub async fn next(&mut self) -> Result<Option<Row>> {
        loop {
            if let Some((page, taken)) = &mut self.current
                && let Some(row) = page.row(*taken)
            {
                *taken += 1;
                return Ok(Some(row));
            }
            self.current = None;
            match self.next_page().await? {
                Some(page) => self.current = Some((page, 0)),
                None => return Ok(None),
            }
        }
    }

    /// All rows, as a stream.
    pub fn into_rows(self) -> BoxStream<'static, Result<Row>> {
        stream::try_unfold(self, |mut query| async move { Ok(query.next().await?.map(|row| (row, query))) }).boxed()
    }

    /// All pages, as a stream.
    pub fn into_pages(self) -> BoxStream<'static, Result<Page>> {
        stream::try_unfold(self, |mut query| async move { Ok(query.next_page().await?.map(|page| (page, query))) }).boxed()
    }

    /// All rows at once, as tuples or other types with [`FromRow`]: `query.collect::<(i64, String)>()`. They are all held in memory.
    ///
    /// # Errors
    /// As of [`next_page`](Self::next_page) and [`Row::read`].
    pub async fn collect<T: for<'a> FromRow<'a>>(mut self) -> Result<Vec<T>> {
        let mut all = Vec::new();
        while let Some(row) = self.next().await? {
            all.push(row.read()?);
        }
        Ok(all)
    }

    /// Waits for the statement's end. Rows that were not taken yet are counted and not kept.
    ///
    /// # Errors
    /// As of [`next_page`](Self::next_page).
    pub async fn finish(mut self) -> Result<Executed> {
        let mut rows = 0;
        while let Some(page) = self.next_page().await? {
            rows += page.len() as u64;
        }
        let End { update_type, update_count, warnings } = self.end.take().unwrap_or_default();
        Ok(Executed { query_id: self.id, update_type, update_count, rows, warnings })
    }

    /// Ends the query in the server, and waits until the server has said so. A query that has ended is left as it is.
    ///
    /// # Errors
    /// The server cannot be told: the query may run on.
    pub async fn cancel(self) -> Result<()> {
        drop(self.steps);
        self.task.await.unwrap_or_else(|_| Err(interrupted(Some(&self.id))))
    }
}

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query").field("id", &self.id).field("columns", &self.columns).finish_non_exhaustive()
    }
}

/// What the task knows of its statement.
struct Reading {
    client: Client,
    sql: String,
    columns: Option<Arc<[Column]>>,
    id: Option<String>,
}

impl Reading {
    /// Reads page by page, the next one as soon as the last was taken. Returns how the end of a query went that nobody wants any more.
    async fn run(&mut self, headers: reqwest::header::HeaderMap, steps: mpsc::Sender<Result<Step>>) -> Result<()> {
        let transport = Arc::clone(&self.client.transport);
        // There is room for one page: the next one is asked for when that was taken.
        let mut permit = steps.reserve().await.ok();
        if permit.is_none() {
            return Ok(());
        }
        let mut next: Option<NextUri> = None;
        loop {
            let reply = match &next {
                // A statement that is on its way may run: its answer is waited for even if nobody waits for its rows.
                None => transport.post(headers.clone(), &self.sql).await,
                Some(uri) => tokio::select! {
                    biased;
                    () = steps.closed() => return self.end_query(uri).await,
                    reply = transport.get(uri) => reply,
                },
            };
            match reply.and_then(|reply| self.take(&reply, &mut next)) {
                Err(error) => {
                    let error = match &self.id {
                        Some(id) if error.query_id().is_none() => error.of_query(id),
                        _ => error,
                    };
                    let over = matches!(error.kind(), ErrorKind::Statement | ErrorKind::Gone);
                    if let Some(permit) = permit {
                        permit.send(Err(error));
                    }
                    return match &next {
                        // What cannot be read need not run.
                        Some(uri) if !over => self.end_query(uri).await,
                        _ => Ok(()),
                    };
                }
                Ok(Some(step)) => {
                    let ended = step.end.is_some();
                    if let Some(permit) = permit {
                        permit.send(Ok(step));
                    }
                    if ended {
                        return Ok(());
                    }
                    permit = steps.reserve().await.ok();
                }
                Ok(None) => {}
            }
            if permit.is_none() {
                return match &next {
                    Some(uri) => self.end_query(uri).await,
                    None => Ok(()),
                };
            }
        }
    }

    async fn end_query(&self, uri: &NextUri) -> Result<()> {
        let transport = &self.client.transport;
        let id = self.id.as_deref().unwrap_or("that was begun");
        let ended = transport.delete(uri).await.and_then(|reply| match reply.status.as_u16() {
            200..=299 | 404 | 410 => Ok(()),
            _ => Err(transport.refusal(&reply, Some(uri))),
        });
        ended.map_err(|e| {
            tracing::warn!(query = id, error = %e, "a query could not be ended; the server ends it when nobody asks for its rows");
            Error::new(e.kind(), format!("query {id} could not be ended and may run on\n  {e}")).of_query(id)
        })
    }

    /// Takes an answer over: where to go on, and what is new. `next` is only changed once it is known to be good.
    fn take(&mut self, reply: &Reply, next: &mut Option<NextUri>) -> Result<Option<Step>> {
        let transport = Arc::clone(&self.client.transport);
        if reply.status.as_u16() != 200 {
            return Err(transport.refusal(reply, next.as_ref()));
        }
        self.client.session.with(|session| session.apply(&reply.headers));
        // What is wrong with a text may be quoted from it, and it holds secrets: only the place is said.
        let unreadable = |what: String| {
            let hint = "is it Trino, and is the path right?";
            Error::new(
                ErrorKind::Protocol,
                format!("an answer of {} is not as Trino's are: {what}\n  → {hint}", transport.server()),
            )
        };
        let text = std::str::from_utf8(&reply.body)
            .map_err(|e| unreadable(format!("it is no UTF-8 behind byte {}", e.valid_up_to())))?;
        let answer: Answer<'_> = serde_json::from_str(text).map_err(|e| {
            let what = if e.is_data() { "its JSON has another form" } else { "it is no JSON" };
            unreadable(format!("{what}, line {} column {}", e.line(), e.column()))
        })?;
        let id = self.id.get_or_insert(answer.id).clone();
        *next = match answer.next_uri {
            Some(uri) => Some(transport.next_uri(&uri).map_err(|e| e.of_query(&id))?),
            None => None,
        };
        if let Some(error) = answer.error {
            return Err(Error::statement(&id, &self.sql, error.into()));
        }
        let mut news = None;
        if self.columns.is_none()
            && let Some(columns) = answer.columns
        {
            let columns: Arc<[Column]> =
                columns.into_iter().map(|c| Column { r#type: type_of(c.r#type), name: c.name }).collect();
            self.columns = Some(Arc::clone(&columns));
            news = Some(columns);
        }
        let page = match (answer.data.map(|data| data.get()), &self.columns) {
            (None | Some("null"), _) => None,
            (Some(_), None) => return Err(unreadable("there are rows before their columns".to_owned()).of_query(&id)),
            (Some(data), Some(columns)) => {
                let read = read_rows(data, columns.iter().map(Column::r#type));
                let (rows, values) = read.map_err(|fault| unreadable(describe(&fault, columns)).of_query(&id))?;
                (rows > 0).then(|| Page::new(Arc::clone(columns), values, rows))
            }
        };
        let end = next.is_none().then(|| End {
            update_type: answer.update_type,
            update_count: answer.update_count,
            warnings: answer.warnings.into_iter().map(|w| Warning { name: w.warning_code.name, message: w.message }).collect(),
        });
        let new = news.is_some() || page.is_some() || end.is_some();
        Ok(new.then_some(Step { id, columns: news, page, end }))
    }
}

/// A type whose name cannot be read is one that is not known.
fn type_of(name: String) -> TrinoType {
    name.parse().unwrap_or(TrinoType::Other(name))
}

fn describe(fault: &RowFault, columns: &[Column]) -> String {
    let row = fault.row + 1;
    match fault.column.and_then(|at| columns.get(at)) {
        Some(Column { name, r#type }) => format!("in row {row} of a page, column {name} {type}: {}", fault.what),
        None => format!("in row {row} of a page: {}", fault.what),
    }
}
