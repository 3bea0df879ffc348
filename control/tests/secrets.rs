//! Secrets are made once, for their owner only, and are shown to nobody.

use std::os::unix::fs::PermissionsExt;

use control::secrets::{ADMIN_TOKEN_FILE, AWS_CREDENTIALS_FILE, AdminToken, SecretError, own_access_key};
use tempfile::tempdir;

#[test]
fn they_are_made_on_the_first_start_and_kept() {
    let dir = tempdir().unwrap();
    let (token, key) = (AdminToken::of(dir.path()).unwrap(), own_access_key(dir.path()).unwrap());
    assert_eq!(
        (AdminToken::of(dir.path()).unwrap(), own_access_key(dir.path()).unwrap()),
        (token.clone(), key.clone())
    );
    let written = std::fs::read_to_string(dir.path().join(ADMIN_TOKEN_FILE)).unwrap();
    assert!(written.trim().len() == 64 && token.matches(written.trim().as_bytes()));
    let written = std::fs::read_to_string(dir.path().join(AWS_CREDENTIALS_FILE)).unwrap();
    let expected = format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", key.id, key.secret());
    assert_eq!(written, expected);
    assert!(key.id.len() == 20 && key.id.starts_with("AKIA") && key.secret().len() == 40);
    for file in [ADMIN_TOKEN_FILE, AWS_CREDENTIALS_FILE] {
        let mode = std::fs::metadata(dir.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let other = tempdir().unwrap();
    assert_ne!(AdminToken::of(other.path()).unwrap(), token);
}

#[test]
fn a_token_matches_itself_only() {
    let dir = tempdir().unwrap();
    std::fs::write(dir.path().join(ADMIN_TOKEN_FILE), "chosen-by-somebody\n").unwrap();
    let token = AdminToken::of(dir.path()).unwrap();
    assert!(token.matches(b"chosen-by-somebody"));
    for wrong in ["", "chosen-by-somebod", "chosen-by-somebody ", "Chosen-by-somebody", "chosen-by-somebodyy"] {
        assert!(!token.matches(wrong.as_bytes()), "{wrong:?}");
    }
}

#[test]
fn they_are_never_shown() {
    let dir = tempdir().unwrap();
    let (token, key) = (AdminToken::of(dir.path()).unwrap(), own_access_key(dir.path()).unwrap());
    let shown = format!("{token:?} {key:?}");
    let written = std::fs::read_to_string(dir.path().join(ADMIN_TOKEN_FILE)).unwrap();
    assert!(!shown.contains(written.trim()) && !shown.contains(key.secret()), "{shown}");
}

#[test]
fn what_is_there_is_never_replaced() {
    let dir = tempdir().unwrap();
    for text in ["", "short", "one with a space in it"] {
        std::fs::write(dir.path().join(ADMIN_TOKEN_FILE), text).unwrap();
        assert!(matches!(AdminToken::of(dir.path()), Err(SecretError::Malformed { .. })), "{text:?}");
        assert_eq!(std::fs::read_to_string(dir.path().join(ADMIN_TOKEN_FILE)).unwrap(), text);
    }
    std::fs::write(dir.path().join(AWS_CREDENTIALS_FILE), "[default]\n").unwrap();
    let error = own_access_key(dir.path()).unwrap_err().to_string();
    assert!(error.contains("does not hold an AWS access key: remove it to have a new one made"), "{error}");
}
