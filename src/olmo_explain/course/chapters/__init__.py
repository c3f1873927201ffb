"""The exercises of the chapters, one file a chapter, read by `olmo_explain.checking`."""
