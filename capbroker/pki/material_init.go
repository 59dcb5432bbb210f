package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/grafos/grafos/api"
)

// stageDir is where a folder's files are written before they are moved into place. While
// it is there an init is under way, or died: either way nobody else begins.
const stageDir = ".init"

// InitOptions says how a cluster's material is made.
type InitOptions struct {
	// ClusterID names the cluster for ever; "" makes a random one.
	ClusterID string
}

// InitMaterial makes a new cluster's material in dir, which is made with mode 0700 when it
// is missing. All files are 0600. A dir that has material, or part of it, is refused with
// conflict and left as it is: a cluster's keys are never overwritten.
func InitMaterial(dir string, o InitOptions) (*Material, error) {
	if o.ClusterID == "" {
		o.ClusterID = randomClusterID()
	}
	if err := checkClusterID(o.ClusterID); err != nil {
		return nil, err
	}
	if err := prepareDir(dir); err != nil {
		return nil, err
	}
	m, err := newMaterial(o.ClusterID, time.Now())
	if err != nil {
		return nil, err
	}
	files, err := m.files()
	if err != nil {
		return nil, err
	}
	if err := writeFolder(dir, files); err != nil {
		return nil, err
	}
	return m, nil
}

// prepareDir makes dir, or closes it to others where it is empty. A folder that holds
// other things keeps its mode: each file of ours is closed by itself.
func prepareDir(dir string) error {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read folder: %w", err)
	}
	if len(entries) > 0 {
		return nil
	}
	if err := os.Chmod(dir, dirMode); err != nil {
		return fmt.Errorf("close folder to others: %w", err)
	}
	return nil
}

// writeFolder puts all files into dir or none: they are written and synced in stageDir,
// then renamed. A failure takes back what was done; a crash leaves stageDir, which the
// next init names.
func writeFolder(dir string, files []file) (err error) {
	stage := filepath.Join(dir, stageDir)
	if err := os.Mkdir(stage, dirMode); errors.Is(err, fs.ErrExist) {
		return api.Refuse(api.Conflict, "folder %s is being initialised, or an earlier attempt died: %s exists", dir, stage).
			WithHint("if nothing is running there, remove what is left in %s and repeat", dir)
	} else if err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()

	if err := refuseMaterial(dir); err != nil {
		return err
	}
	for _, f := range files {
		if err := replaceFile(filepath.Join(stage, f.name), f.data, keyMode); err != nil {
			return err
		}
	}
	return moveAll(stage, dir, files)
}

// moveAll renames files from one folder into another; when one fails, the others go again.
func moveAll(from, to string, files []file) error {
	for i, f := range files {
		err := os.Rename(filepath.Join(from, f.name), filepath.Join(to, f.name))
		if err == nil {
			continue
		}
		err = fmt.Errorf("rename into place: %w", err)
		for _, done := range files[:i] {
			err = errors.Join(err, os.Remove(filepath.Join(to, done.name)))
		}
		return err
	}
	return syncDir(to)
}

// refuseMaterial refuses a folder that has any file of ours.
func refuseMaterial(dir string) error {
	for _, name := range []string{fileCluster, fileCA, fileCAKey, fileJWTKey, fileGossip} {
		switch _, err := os.Lstat(filepath.Join(dir, name)); {
		case err == nil:
			return api.Refuse(api.Conflict, "folder %s already has a cluster's material: %s exists", dir, name).
				WithHint("use it as it is, or give another folder; a cluster's keys are never overwritten")
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("look for %s: %w", name, err)
		}
	}
	return nil
}
