//! `/v1/reload`: the configuration file is read again, all of it or nothing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use utoipa::ToSchema;

use super::Api;
use super::problem::{Kind, Problem, Wrong};
use super::views::ObjectView;
use crate::file::{FileError, ReloadError};

/// What a reload did.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(super) struct ReloadView {
    /// The revision that holds it. As before when nothing changed.
    revision: u64,
    /// What is there now and was not before.
    added: Vec<ObjectView>,
    /// What is different now.
    changed: Vec<ObjectView>,
    /// What is gone.
    removed: Vec<ObjectView>,
}

/// Reads the configuration file again; all of it takes effect, or nothing does.
#[utoipa::path(post, path = "/v1/reload", operation_id = "reload", tag = "config", responses(
    (status = 200, description = "What it wants holds now", body = ReloadView),
    (status = 409, description = "There is no file, or what it wants does not fit what is there; nothing was changed"),
    (status = 422, description = "The file is wrong: where, and how; nothing was changed"),
    (status = 503, description = "elbow is stopping"),
    (status = 504, description = "It stands, but not every worker has taken it up in time"),
))]
pub(super) async fn reload(State(api): State<Arc<Api>>) -> Result<Json<ReloadView>, Problem> {
    let reloaded = api.context.reloader.reload().await.map_err(refused)?;
    let views = |objects: &[lb::model::ObjectRef]| objects.iter().map(ObjectView::from).collect();
    Ok(Json(ReloadView {
        revision: reloaded.revision,
        added: views(&reloaded.added),
        changed: views(&reloaded.changed),
        removed: views(&reloaded.removed),
    }))
}

fn refused(error: ReloadError) -> Problem {
    match error {
        ReloadError::Refused(refused) => refused.into(),
        ReloadError::File(error) => Problem::new(Kind::Invalid, error.to_string()).with_errors(wrongs(&error)),
        ReloadError::NoFile | ReloadError::TakesRestart { .. } | ReloadError::AccessLog(_) => {
            Problem::new(Kind::Conflict, error.to_string())
        }
    }
}

fn wrongs(error: &FileError) -> Vec<Wrong> {
    let wrong = |problem: &crate::file::FileProblem| Wrong {
        detail: problem.detail.clone(),
        pointer: Some(problem.pointer.clone()),
        hint: problem.hint.clone(),
        line: Some(problem.line),
        column: Some(problem.column),
    };
    error.problems().iter().map(wrong).collect()
}
