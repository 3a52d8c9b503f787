"""Objects: large payloads and outputs, kept beside PostgreSQL in a folder or in a cloud's store."""

from oncue.store.objects.bucket import Bucket
from oncue.store.objects.folder import Folder
from oncue.store.objects.opening import Objects, open_objects
from oncue.store.objects.stored import StoredObject

__all__ = ["Bucket", "Folder", "Objects", "StoredObject", "open_objects"]
