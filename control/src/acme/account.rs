//! The account at an authority: made once, kept in the state, and made anew where the authority is another one or has
//! forgotten it.

use std::sync::Arc;

use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use lb::model::{Acme, AcmeAccount, Change};

use super::failure::{Failure, Kind};
use super::http::Client;
use crate::store::{Precondition, Refused, Store};

/// Opens the account that is kept, or makes one. One at a time: two would make two.
pub(super) async fn open(acme: &Acme, client: &Client, store: &Store) -> Result<Account, Failure> {
    let kept = store.config().acme.account.clone().filter(|kept| kept.directory == acme.directory);
    match kept {
        Some(kept) => match reopen(&kept, acme, client, store).await {
            Err(failure) if failure.kind == Kind::AccountGone => make(acme, client, store).await,
            outcome => outcome,
        },
        None => make(acme, client, store).await,
    }
}

/// Forgets the account that is kept.
pub(super) async fn forget(store: &Store) -> Result<(), Failure> {
    keep(None, store).await
}

async fn reopen(kept: &AcmeAccount, acme: &Acme, client: &Client, store: &Store) -> Result<Account, Failure> {
    let credentials: AccountCredentials =
        serde_json::from_str(&kept.credentials).map_err(|_| Failure::new("the kept account cannot be read"))?;
    let account = Account::builder_with_http(Box::new(client.clone())).from_credentials(credentials).await;
    let account = account.map_err(|error| Failure::of("reading the directory", &error))?;
    if kept.contact != acme.contact {
        let updated = account.update_contacts(&contacts(acme)).await;
        updated.map_err(|error| Failure::of("telling the authority another contact", &error))?;
        keep(Some(AcmeAccount { contact: acme.contact.clone(), ..kept.clone() }), store).await?;
    }
    Ok(account)
}

async fn make(acme: &Acme, client: &Client, store: &Store) -> Result<Account, Failure> {
    let contact = contacts(acme);
    let wanted = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
    let external = acme.external_account.as_ref();
    let external = external.map(|account| ExternalAccountKey::new(account.key_id.to_string(), &account.hmac_key));
    let builder = Account::builder_with_http(Box::new(client.clone()));
    let made = builder.create(&wanted, acme.directory.to_string(), external.as_ref()).await;
    let (account, credentials) = made.map_err(|error| Failure::of("making an account", &error))?;
    let credentials = serde_json::to_string(&credentials).map_err(|error| Failure::new(error.to_string()))?;
    let (directory, contact) = (Arc::clone(&acme.directory), acme.contact.clone());
    keep(Some(AcmeAccount { directory, contact, credentials: credentials.into() }), store).await?;
    tracing::info!(directory = %acme.directory, account = account.id(), "an account for certificates was made");
    Ok(account)
}

fn contacts(acme: &Acme) -> Vec<&str> {
    acme.contact.iter().map(|contact| &**contact).collect()
}

async fn keep(account: Option<AcmeAccount>, store: &Store) -> Result<(), Failure> {
    match store.apply(vec![Change::PutAcmeAccount(account)], Precondition::None).await {
        // It is durable, and nobody but this task has to take it up.
        Ok(_) | Err(Refused::NotTakenUp { .. }) => Ok(()),
        Err(error) => Err(Failure::new(format!("the account could not be kept: {error}"))),
    }
}
