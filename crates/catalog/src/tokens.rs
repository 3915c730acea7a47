//! API tokens, found by the digest of their secret.

use jiff::Timestamp;
use model::ApiToken;

use crate::{
    Catalog, CatalogError,
    sql::{doc, execute, json, row, rows},
};

impl Catalog {
    /// Adds a token.
    pub async fn insert_token(&self, token: &ApiToken) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let name_key = token.name.as_str().to_lowercase();
        let select = "SELECT id FROM api_token WHERE name_key = $1";
        if row(&write.tx, select, vec![name_key.clone().into()]).await?.is_some() {
            let name = token.name.to_string();
            return Err(CatalogError::NameTaken { what: "token", name });
        }
        let insert =
            "INSERT INTO api_token (id, name_key, secret_sha256, doc) VALUES ($1, $2, $3, $4)";
        let values = vec![
            token.id.to_string().into(),
            name_key.into(),
            token.secret_sha256.clone().into(),
            json(token)?.into(),
        ];
        execute(&write.tx, insert, values).await?;
        write.commit().await
    }

    /// The token whose secret has this digest.
    pub async fn token_by_digest(&self, sha256: &str) -> Result<Option<ApiToken>, CatalogError> {
        let select = "SELECT doc FROM api_token WHERE secret_sha256 = $1";
        row(&self.db, select, vec![sha256.into()]).await?.as_ref().map(doc).transpose()
    }

    /// Notes that a token was used; one that is gone already is no error.
    pub async fn touch_token(&self, token: &ApiToken, now: Timestamp) -> Result<(), CatalogError> {
        let next = ApiToken { last_used_at: Some(now), ..token.clone() };
        let write = self.write().await?;
        let update = "UPDATE api_token SET doc = $1 WHERE id = $2";
        execute(&write.tx, update, vec![json(&next)?.into(), token.id.to_string().into()]).await?;
        write.commit().await
    }

    /// A token by name (without regard to case) or id.
    pub async fn token_by_name(&self, name: &str) -> Result<ApiToken, CatalogError> {
        let select = "SELECT doc FROM api_token WHERE name_key = $1 OR id = $1";
        let found = row(&self.db, select, vec![name.to_lowercase().into()]).await?;
        doc(&found.ok_or_else(|| CatalogError::not_found("token", name))?)
    }

    /// Every token, by name.
    pub async fn all_tokens(&self) -> Result<Vec<ApiToken>, CatalogError> {
        let select = "SELECT doc FROM api_token ORDER BY name_key";
        rows(&self.db, select, vec![]).await?.iter().map(doc).collect()
    }

    /// Revokes a token: from now on nothing knows it.
    pub async fn remove_token(&self, token: &ApiToken) -> Result<(), CatalogError> {
        let write = self.write().await?;
        let delete = "DELETE FROM api_token WHERE id = $1";
        let values = vec![token.id.to_string().into()];
        if execute(&write.tx, delete, values).await?.rows_affected() == 0 {
            return Err(CatalogError::not_found("token", &token.name));
        }
        write.commit().await
    }
}
