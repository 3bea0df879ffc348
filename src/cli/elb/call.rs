//! How a command asks the API and shows what it answered, and how it asks a person first.

use std::fmt::Display;
use std::io::{BufRead, Read, Write};

use anyhow::anyhow;

use super::general::General;
use super::table::table;
use crate::cli::output::{Failure, write_out};
use crate::client::query::{Answer, QueryApi, Refused};
use control::xml::Element;

/// The longest line that is taken for yes or no.
const REPLY_BYTES_MAX: u64 = 256;

/// One call of a command.
#[derive(Debug)]
pub(super) struct Call {
    api: QueryApi,
    has_headers: bool,
    shows_xml: bool,
}

/// The parameters of a request, being put together.
#[derive(Debug)]
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Of an action on a load balancer.
    pub(super) fn of(load_balancer: &str) -> Self {
        Self(Vec::new()).with("LoadBalancerName", load_balancer)
    }

    /// Of an action on none in particular.
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn with(mut self, name: &str, value: impl Display) -> Self {
        self.0.push((name.to_owned(), value.to_string()));
        self
    }

    pub(super) fn with_optional(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// A list; `inside` is what stands after the number of each member.
    pub(super) fn with_list(self, list: &str, inside: &str, values: &[impl Display]) -> Self {
        let numbered = values.iter().enumerate();
        numbered.fold(self, |all, (index, value)| all.with(&format!("{list}.member.{}{inside}", index + 1), value))
    }
}

impl Call {
    pub(super) fn new(general: &General) -> Result<Self, Failure> {
        Ok(Self { api: general.api()?, has_headers: !general.no_headers, shows_xml: general.show_xml })
    }

    /// Asks for an action, and writes its answer as it came if that is wanted; none: it was.
    pub(super) async fn ask(&self, action: &str, parameters: &Parameters) -> Result<Option<Element>, Failure> {
        let answered = self.api.ask(action, &parameters.0).await;
        let Answer { text, result } = answered.map_err(|error| match error.downcast::<Refused>() {
            Ok(refused) => Refused { is_to_be_shown: self.shows_xml, ..refused }.into(),
            Err(error) => error,
        })?;
        if self.shows_xml {
            write_out(text.trim_end())?;
            return Ok(None);
        }
        Ok(Some(result))
    }

    /// Writes rows, each after `kind`, under the names of their columns.
    pub(super) fn show<const COLUMNS: usize>(
        &self,
        kind: &str,
        header: [&str; COLUMNS],
        rows: Vec<[String; COLUMNS]>,
    ) -> Result<(), Failure> {
        let names = self.has_headers.then(|| header.map(str::to_owned));
        let rows: Vec<_> = names.into_iter().chain(rows).collect();
        if rows.is_empty() { Ok(()) } else { write_out(&table(kind, &rows)) }
    }

    /// Whether there is a line of names.
    pub(super) fn has_headers(&self) -> bool {
        self.has_headers
    }
}

/// Asks whoever sits there whether they are sure that `what` should go.
pub(super) fn confirm(is_forced: bool, what: &str) -> Result<(), Failure> {
    if is_forced {
        return Ok(());
    }
    let (one, sure) = (format!("a {what}"), format!("this {what}"));
    write!(
        std::io::stderr(),
        "\n    Warning: Deleting {one} can lead to service disruption to any\n    customers connected to the {what}. \
         Are you sure you want to delete\n    {sure}? [Ny]"
    )?;
    let mut reply = String::new();
    std::io::stdin().lock().take(REPLY_BYTES_MAX).read_line(&mut reply)?;
    match reply.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(anyhow!("nothing was deleted (--force asks nobody)").into()),
    }
}
