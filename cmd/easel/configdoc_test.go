package main

import (
	"bytes"
	"os"
	"testing"
)

func TestConfigurationPageIsCurrent(t *testing.T) {
	var want bytes.Buffer
	if err := writeConfigPage(&want); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Error("docs/configuration.md differs from easel.Config: run make generate")
	}
}
