-- Packs, and the runtimes and runtime versions that they bring.

CREATE TABLE pack (
    id bigserial PRIMARY KEY,
    ref text NOT NULL UNIQUE,
    label text NOT NULL,
    description text,
    version text NOT NULL,
    conf_schema jsonb NOT NULL DEFAULT '{}',
    config jsonb NOT NULL DEFAULT '{}',
    meta jsonb NOT NULL DEFAULT '{}',
    tags text[] NOT NULL DEFAULT ARRAY[]::text[],
    runtime_deps text[] NOT NULL DEFAULT ARRAY[]::text[],
    dependencies text[] NOT NULL DEFAULT ARRAY[]::text[],
    is_standard boolean NOT NULL DEFAULT false,
    installers jsonb DEFAULT '[]',
    source_type text,
    source_url text,
    source_ref text,
    checksum text,
    checksum_verified boolean DEFAULT false,
    installed_at timestamptz,
    installed_by bigint,
    installation_method text,
    storage_path text,
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pack_ref_format CHECK (ref ~ '^[a-z][a-z0-9_-]+$'),
    CONSTRAINT pack_ref_lowercase CHECK (ref = lower(ref)),
    CONSTRAINT pack_version_semver CHECK (
        version ~ '^\d+\.\d+\.\d+(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$'
    )
);
CREATE INDEX idx_pack_config_gin ON pack USING gin (config);
CREATE INDEX idx_pack_created ON pack (created DESC);
CREATE INDEX idx_pack_dependencies_gin ON pack USING gin (dependencies);
CREATE INDEX idx_pack_installed_at ON pack (installed_at DESC) WHERE installed_at IS NOT NULL;
CREATE INDEX idx_pack_installed_by ON pack (installed_by) WHERE installed_by IS NOT NULL;
CREATE INDEX idx_pack_is_standard ON pack (is_standard) WHERE is_standard = true;
CREATE INDEX idx_pack_is_standard_created ON pack (is_standard, created DESC);
CREATE INDEX idx_pack_meta_gin ON pack USING gin (meta);
CREATE INDEX idx_pack_ref ON pack (ref);
CREATE INDEX idx_pack_runtime_deps_gin ON pack USING gin (runtime_deps);
CREATE INDEX idx_pack_source_type ON pack (source_type) WHERE source_type IS NOT NULL;
CREATE INDEX idx_pack_tags_gin ON pack USING gin (tags);
CREATE INDEX idx_pack_version_created ON pack (version, created DESC);
CREATE TRIGGER update_pack_updated BEFORE UPDATE ON pack
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();

-- Actions and sensors still have runtimes of their own here: 20260203000001_unify_runtimes.sql merges them.
CREATE TABLE runtime (
    id bigserial PRIMARY KEY,
    ref text NOT NULL UNIQUE,
    pack bigint REFERENCES pack (id) ON DELETE CASCADE,
    pack_ref text,
    description text,
    runtime_type runtime_type_enum NOT NULL,
    name text NOT NULL,
    distributions jsonb NOT NULL,
    installation jsonb,
    installers jsonb DEFAULT '[]',
    execution_config jsonb NOT NULL DEFAULT '{}',
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT runtime_ref_lowercase CHECK (ref = lower(ref))
);
CREATE INDEX idx_runtime_created ON runtime (created DESC);
CREATE INDEX idx_runtime_execution_config ON runtime USING gin (execution_config);
CREATE INDEX idx_runtime_pack ON runtime (pack);
CREATE INDEX idx_runtime_ref ON runtime (ref);
CREATE TRIGGER update_runtime_updated BEFORE UPDATE ON runtime
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();
CREATE INDEX idx_runtime_type ON runtime (runtime_type);

CREATE TABLE runtime_version (
    id bigserial PRIMARY KEY,
    runtime bigint NOT NULL REFERENCES runtime (id) ON DELETE CASCADE,
    runtime_ref text NOT NULL,
    version text NOT NULL,
    version_major integer,
    version_minor integer,
    version_patch integer,
    execution_config jsonb NOT NULL DEFAULT '{}',
    distributions jsonb NOT NULL DEFAULT '{}',
    is_default boolean NOT NULL DEFAULT false,
    available boolean NOT NULL DEFAULT true,
    verified_at timestamptz,
    meta jsonb NOT NULL DEFAULT '{}',
    created timestamptz NOT NULL DEFAULT now(),
    updated timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT runtime_version_unique UNIQUE (runtime, version)
);
CREATE INDEX idx_runtime_version_available ON runtime_version (available) WHERE available = true;
CREATE INDEX idx_runtime_version_components ON runtime_version (runtime, version_major, version_minor, version_patch);
CREATE INDEX idx_runtime_version_created ON runtime_version (created DESC);
CREATE INDEX idx_runtime_version_execution_config ON runtime_version USING gin (execution_config);
CREATE INDEX idx_runtime_version_is_default ON runtime_version (is_default) WHERE is_default = true;
CREATE INDEX idx_runtime_version_meta ON runtime_version USING gin (meta);
CREATE INDEX idx_runtime_version_runtime ON runtime_version (runtime);
CREATE INDEX idx_runtime_version_runtime_ref ON runtime_version (runtime_ref);
CREATE INDEX idx_runtime_version_version ON runtime_version (version);
CREATE TRIGGER update_runtime_version_updated BEFORE UPDATE ON runtime_version
    FOR EACH ROW EXECUTE FUNCTION update_updated_column();
