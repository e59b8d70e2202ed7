package page

// The paths of the pages, in the order of the navigation. What belongs to one object is
// below the path of its list.
const (
	HomePath = "/"

	ServicesPath    = "/services"
	QuotesPath      = "/quotes"
	IdentitiesPath  = "/identities"
	IdentityNewPath = IdentitiesPath + "/new"

	CredentialsPath        = "/credentials"
	CredentialNewPath      = CredentialsPath + "/new"
	MTLSPath               = "/mtls"
	MTLSNewPath            = MTLSPath + "/new"
	ClientCertificatesPath = "/client-certificates"
	ServiceUsersPath       = "/service-users"
	TokensPath             = "/tokens"

	DomainsPath        = "/domains"
	DomainNewPath      = DomainsPath + "/new"
	CertificatesPath   = "/certificates"
	CertificateNewPath = CertificatesPath + "/new"
	ReportsPath        = "/reports"

	MembersPath  = "/members"
	AuditPath    = "/audit"
	MailPath     = "/mail"
	MePath       = "/me"
	SettingsPath = "/settings"

	// Those of the CA's own staff.
	OperatorPath             = "/operator"
	ReportPath               = "/report" // anybody's, of a problem with a certificate
	OperatorAccountsPath     = OperatorPath + "/accounts"
	OperatorQuotesPath       = OperatorPath + QuotesPath
	OperatorServicesPath     = OperatorPath + "/services"
	OperatorApprovalsPath    = OperatorPath + "/approvals"
	OperatorIssuersPath      = OperatorPath + "/issuers"
	OperatorStatusPath       = OperatorPath + "/status"
	OperatorJobsPath         = OperatorPath + "/jobs"
	OperatorAuditPath        = OperatorPath + "/audit"
	OperatorMailPath         = OperatorPath + "/mail"
	OperatorReportsPath      = OperatorPath + "/reports"
	OperatorCertificatesPath = OperatorPath + "/certificates"
	OperatorHealthPath       = OperatorPath + "/health"
	VettingPath              = OperatorPath + "/vetting"

	// Those of signing in, beside the paths of package signin.
	SignOutPath      = "/sign-out"
	WelcomePath      = "/welcome"
	AgreementPath    = "/welcome/agreement"
	SecondFactorPath = "/second-factor"
	EnrolPath        = "/second-factor/enrol"
)
