/* SPDX-License-Identifier: Apache-2.0 */
#include "store_schema.h"

/* Digests are whole: "sha256:<64 hex digits>". Small documents (configurations
 * and manifests) live in the database, so that resolving an image opens no
 * other file; the files on disk are layers/ and blobs/, and each has a row. */
static const char *const steps[] = {
	/* A layer exists once its row does: the file is complete and on disk
	 * before the row is committed. */
	"CREATE TABLE layers("
	"  diffid TEXT PRIMARY KEY,"
	"  kind TEXT NOT NULL CHECK(kind IN ('erofs', 'dir')),"
	"  file_bytes INTEGER NOT NULL,"
	/* Length of the uncompressed tar, and the sum of its files' sizes. */
	"  tar_bytes INTEGER NOT NULL,"
	"  content_bytes INTEGER NOT NULL,"
	"  added_ns INTEGER NOT NULL"
	") WITHOUT ROWID;"
	"CREATE TABLE images("
	"  id TEXT PRIMARY KEY," /* digest of the configuration */
	"  config TEXT NOT NULL,"
	"  created_ns INTEGER NOT NULL,"
	"  added_ns INTEGER NOT NULL,"
	"  tagged_ns INTEGER NOT NULL DEFAULT 0,"
	"  parent TEXT" /* image it was committed from */
	") WITHOUT ROWID;"
	"CREATE TABLE image_layers("
	"  image TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,"
	"  position INTEGER NOT NULL,"
	"  diffid TEXT NOT NULL REFERENCES layers(diffid),"
	"  PRIMARY KEY(image, position)"
	") WITHOUT ROWID;"
	"CREATE INDEX image_layers_diffid ON image_layers(diffid);"
	/* Full references: "docker.io/library/debian:12". */
	"CREATE TABLE tags("
	"  reference TEXT PRIMARY KEY,"
	"  image TEXT NOT NULL REFERENCES images(id)"
	") WITHOUT ROWID;"
	"CREATE INDEX tags_image ON tags(image);"
	/* "docker.io/library/debian@sha256:...": what a registry called it. */
	"CREATE TABLE repo_digests("
	"  reference TEXT PRIMARY KEY,"
	"  image TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE"
	") WITHOUT ROWID;"
	"CREATE INDEX repo_digests_image ON repo_digests(image);"
	/* The bytes a registry sent, so that they can be sent on unchanged. */
	"CREATE TABLE manifests("
	"  digest TEXT PRIMARY KEY,"
	"  media_type TEXT NOT NULL,"
	"  image TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,"
	"  document TEXT NOT NULL"
	") WITHOUT ROWID;"
	"CREATE INDEX manifests_image ON manifests(image);"
	/* Layers as they came, compressed: blobs/sha256/<hex>. */
	"CREATE TABLE blobs("
	"  digest TEXT PRIMARY KEY,"
	"  diffid TEXT NOT NULL REFERENCES layers(diffid) ON DELETE CASCADE,"
	"  bytes INTEGER NOT NULL,"
	"  media_type TEXT NOT NULL"
	") WITHOUT ROWID;"
	"CREATE INDEX blobs_diffid ON blobs(diffid);",
	/* Removed by force while stopped containers need its layers: nobody sees
	 * it, and it goes with the last of them. */
	"ALTER TABLE images ADD COLUMN is_hidden INTEGER NOT NULL DEFAULT 0;",
	/* The boot in which the layer's files were written, as long as they may not
	 * be on disk yet (settle.h). */
	"ALTER TABLE layers ADD COLUMN unsynced TEXT;",
};

const struct db_schema store_schema = { steps, sizeof(steps) / sizeof(steps[0]) };
