//! Systems Manager's parameters. Each function makes one call, once.

use std::collections::BTreeSet;

use aws_sdk_ssm::types::{ParameterType, Tag};

use super::Answer;
use crate::cloud::aws::AwsCloud;
use crate::cloud::aws::error::unbuilt;
use crate::cloud::{Cloud, CloudError, CloudErrorKind, Reply, authority};
use crate::pki::{Authority, PkiError, PrivateKey, Secret, Signer};
use crate::resource::Tags;

/// Makes a key and its certificate, and stores both under the condition that there are none.
pub(super) async fn create_authority(
    cloud: &AwsCloud,
    cluster: &str,
    name: &str,
    parameter: &str,
    tags: &Tags,
) -> Answer {
    let operation = "CreateAuthority";
    let wanted = known(operation, name)?;
    let make = || Signer::make(&wanted, cluster, PrivateKey::generate()?, cloud.now());
    let made = make().map_err(|error| unmade(operation, &error))?;
    let call = cloud
        .ssm
        .put_parameter()
        .name(parameter)
        .value(made.to_secret().expose())
        .r#type(ParameterType::SecureString)
        .overwrite(false)
        .set_tags(Some(tag_list(operation, tags)?));
    call.send().await.map_err(|error| hidden(cloud.failed(operation, error)))?;
    told(operation, &wanted, cluster, &made)
}

/// AWS repeats in some messages what it was sent; no part of a key is ever shown.
fn hidden(error: CloudError) -> CloudError {
    let message = match error.message.contains("-----BEGIN") {
        true => {
            "AWS does not take the parameter's value, and repeats it; it is not shown".to_owned()
        }
        false => error.message,
    };
    CloudError { message, ..error }
}

/// Reads a key to tell its certificate.
pub(super) async fn read_authority(
    cloud: &AwsCloud,
    cluster: &str,
    name: &str,
    parameter: &str,
) -> Answer {
    let operation = "ReadAuthority";
    let wanted = known(operation, name)?;
    let call = cloud.ssm.get_parameter().name(parameter).with_decryption(true);
    let answer = call.send().await.map_err(|error| cloud.failed(operation, error))?;
    let value = answer.parameter.and_then(|parameter| parameter.value).unwrap_or_default();
    let read = Signer::parse(&wanted, cluster, &Secret::new(value));
    told(operation, &wanted, cluster, &read.map_err(|error| unmade(operation, &error))?)
}

/// Stores what an authority is trusted by, under the condition that there is nothing yet.
pub(super) async fn publish_authority(
    cloud: &AwsCloud,
    parameter: &str,
    certificate: &str,
    tags: &Tags,
) -> Answer {
    let operation = "PublishAuthority";
    let call = cloud
        .ssm
        .put_parameter()
        .name(parameter)
        .value(certificate)
        .r#type(ParameterType::String)
        .overwrite(false)
        .set_tags(Some(tag_list(operation, tags)?));
    super::done(call.send().await.map_err(|error| cloud.failed(operation, error)))
}

/// Removes parameters; one that does not exist is told in the answer, and is no error.
pub(super) async fn delete_authority(cloud: &AwsCloud, parameters: &BTreeSet<String>) -> Answer {
    let names = parameters.iter().cloned().collect();
    let answer = cloud.ssm.delete_parameters().set_names(Some(names)).send().await;
    super::done(answer.map_err(|error| cloud.failed("DeleteAuthority", error)))
}

fn known(operation: &'static str, name: &str) -> Result<Authority, CloudError> {
    let unknown = |error: crate::pki::UnknownAuthority| invalid(operation, &error.to_string());
    name.parse().map_err(unknown)
}

fn unmade(operation: &'static str, error: &PkiError) -> CloudError {
    invalid(operation, &error.to_string())
}

fn invalid(operation: &'static str, message: &str) -> CloudError {
    CloudError::new(CloudErrorKind::Invalid, operation, "Authority", message)
}

fn told(operation: &'static str, wanted: &Authority, cluster: &str, signer: &Signer) -> Answer {
    let attributes = authority::attributes(wanted, cluster, &signer.to_public());
    let attributes = attributes.map_err(|error| unmade(operation, &error))?;
    Ok(Reply { attributes, ..Reply::default() })
}

fn tag_list(operation: &'static str, tags: &Tags) -> Result<Vec<Tag>, CloudError> {
    let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
    tags.iter().map(tag).collect::<Result<_, _>>().map_err(|error| unbuilt(operation, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_aws_repeats_is_not_shown() {
        let said = |message: &str| {
            let kind = CloudErrorKind::Invalid;
            hidden(CloudError::new(kind, "CreateAuthority", "ValidationException", message))
        };
        let repeated = said("Value '-----BEGIN PRIVATE KEY-----\nMIGH' at 'value' is too long");
        assert!(!repeated.to_string().contains("MIGH"), "{repeated}");
        assert_eq!(said("too long").message, "too long");
    }
}
