/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the image store which images containers use. */
#pragma once

#include "engine.h"
#include "image_store.h"

struct image_users engine_image_users(struct engine *engine);
