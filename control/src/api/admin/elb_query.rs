//! The place of the ELB Query API, `POST /` with a form and `GET /?Action=…`: refused until it is built.

use http::{Method, Uri};

use super::problem::{Kind, Problem};

/// Says that the ELB API is not there yet; anything else at the root is nothing.
pub(super) async fn refuse(method: Method, uri: Uri) -> Problem {
    let names_action = uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("Action=")));
    if method == Method::POST || names_action {
        return Problem::new(Kind::NotAvailable, "the ELB Query API is not available in this version");
    }
    Problem::new(Kind::NotFound, "there is nothing here; /v1/openapi.json says what there is")
}
