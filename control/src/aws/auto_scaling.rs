//! Auto Scaling: how instances of its groups stand there, and what it is told of them.

use std::collections::{BTreeMap, HashSet};

use super::account::Service;
use super::{Account, AwsError};

const AUTO_SCALING: Service =
    Service { name: "autoscaling", version: "2011-01-01", endpoint_variable: "AWS_ENDPOINT_URL_AUTO_SCALING" };
const DESCRIBE: &str = "DescribeAutoScalingGroups";
/// How many groups are asked for at once; each page shows as many.
const PAGE_GROUPS: usize = 50;
/// How many pages an answer may have.
const PAGES_MAX: usize = 200;

/// How an instance stands in its group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) group: String,
    /// `InService`, `Terminating:Wait` and so on.
    pub(crate) lifecycle: String,
    pub(crate) is_healthy: bool,
}

/// How each instance of these groups stands, by its id. A group that is not there has none.
pub(crate) async fn describe_groups<'n>(
    account: &Account,
    names: impl Iterator<Item = &'n str>,
) -> Result<BTreeMap<String, Standing>, AwsError> {
    let names: Vec<_> = names.collect();
    let mut standings = BTreeMap::new();
    for some in names.chunks(PAGE_GROUPS) {
        let name =
            |(nth, name): (usize, &&str)| (format!("AutoScalingGroupNames.member.{}", nth + 1), (*name).to_owned());
        let parameters = some.iter().enumerate().map(name);
        describe(account, parameters.collect(), &mut standings).await?;
    }
    Ok(standings)
}

async fn describe(
    account: &Account,
    mut parameters: Vec<(String, String)>,
    standings: &mut BTreeMap<String, Standing>,
) -> Result<(), AwsError> {
    let malformed = |why: &str| AwsError::Malformed { action: DESCRIBE, why: why.to_owned() };
    parameters.push(("MaxRecords".to_owned(), PAGE_GROUPS.to_string()));
    let (fixed, mut tokens) = (parameters.len(), HashSet::new());
    for _ in 0..PAGES_MAX {
        let page = account.call(&AUTO_SCALING, DESCRIBE, &parameters).await?;
        let page = page.at(&["DescribeAutoScalingGroupsResult"]).ok_or_else(|| malformed("it has no result"))?;
        for group in page.members("AutoScalingGroups") {
            let name = group.text_at(&["AutoScalingGroupName"]).ok_or_else(|| malformed("a group has no name"))?;
            for instance in group.members("Instances") {
                let id = instance.text_at(&["InstanceId"]).ok_or_else(|| malformed("an instance has no id"))?;
                let lifecycle = instance.text_at(&["LifecycleState"]);
                let lifecycle = lifecycle.ok_or_else(|| malformed("an instance has no lifecycle state"))?;
                let standing = Standing {
                    group: name.to_owned(),
                    lifecycle: lifecycle.to_owned(),
                    is_healthy: instance.text_at(&["HealthStatus"]).is_none_or(|status| status == "Healthy"),
                };
                standings.insert(id.to_owned(), standing);
            }
        }
        let Some(token) = page.text_at(&["NextToken"]) else { return Ok(()) };
        if !tokens.insert(token.to_owned()) {
            return Err(malformed("its pages lead in a circle"));
        }
        parameters.truncate(fixed);
        parameters.push(("NextToken".to_owned(), token.to_owned()));
    }
    Err(malformed("it has too many pages"))
}

/// Says that all is done that the termination of an instance waits for.
pub(crate) async fn complete_lifecycle_action(
    account: &Account,
    group: &str,
    hook: &str,
    instance: &str,
) -> Result<(), AwsError> {
    let parameters = [
        ("AutoScalingGroupName".to_owned(), group.to_owned()),
        ("LifecycleHookName".to_owned(), hook.to_owned()),
        ("InstanceId".to_owned(), instance.to_owned()),
        ("LifecycleActionResult".to_owned(), "CONTINUE".to_owned()),
    ];
    account.call(&AUTO_SCALING, "CompleteLifecycleAction", &parameters).await.map(drop)
}

/// Says that an instance is unhealthy, upon which its group replaces it.
pub(crate) async fn set_unhealthy(account: &Account, instance: &str) -> Result<(), AwsError> {
    let parameters = [
        ("InstanceId".to_owned(), instance.to_owned()),
        ("HealthStatus".to_owned(), "Unhealthy".to_owned()),
        ("ShouldRespectGracePeriod".to_owned(), "true".to_owned()),
    ];
    account.call(&AUTO_SCALING, "SetInstanceHealth", &parameters).await.map(drop)
}
